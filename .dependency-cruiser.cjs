// Each folder imports only from those before it (docs/architecture.md). test/layout.test.ts runs this.
const order = ['core', 'schemas', 'log', 'catalogue', 'repository', 'connectors', 'pipelines', 'services', 'api', 'cli']
module.exports = {
  forbidden: [
    ...order.map((folder, index) => ({
      name: `${folder}-imports-only-what-stands-before-it`,
      severity: 'error',
      from: { path: `^${folder}/` },
      to: { path: `^(${[...order.slice(index + 1), 'test', 'bench'].join('|')})/` },
    })),
    {
      name: 'pipelines-are-handed-parsers',
      severity: 'error',
      from: { path: '^pipelines/' },
      to: { path: '^connectors/(?!connector\\.ts)' },
    },
    {
      name: 'only-one-file-imports-kafkajs',
      severity: 'error',
      from: { pathNot: '^(log/kafka-log\\.ts|test/|bench/)' },
      to: { path: 'node_modules/kafkajs/' },
    },
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
  },
}
