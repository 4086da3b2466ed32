import tseslint from 'typescript-eslint'

const environmentElsewhere = {
  object: 'process',
  property: 'env',
  message: 'read the environment in core/environment.ts only',
}

/** An edge runs on Windows as well: what is only there on POSIX systems needs a comment that says why it is bearable. */
const posix = 'not there on Windows'
const posixProperties = ['getuid', 'geteuid', 'getgid', 'getegid', 'getgroups', 'setuid', 'setgid', 'umask'].map(
  (property) => ({ object: 'process', property, message: posix }),
)
const posixFunctions = ['chown', 'fchown', 'lchown', 'chownSync', 'fchownSync', 'lchownSync']
const posixSyntax = [
  { selector: 'Literal[value=/^SIG(HUP|USR1|USR2|QUIT|CHLD|WINCH|PIPE)$/]', message: posix },
  { selector: 'Literal[value=/^\\u002f(tmp|dev|proc|sys|etc|var|usr|bin)(\\u002f|$)/]', message: posix },
  { selector: 'TemplateElement[value.raw=/^\\u002f(tmp|dev|proc|sys|etc|var|usr|bin)\\u002f/]', message: posix },
]

export default tseslint.config(
  { ignores: ['dist/**', 'node_modules/**', 'docs/**'] },
  ...tseslint.configs.recommended,
  {
    files: ['**/*.ts'],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      'no-restricted-properties': ['error', environmentElsewhere],
      'no-console': 'error',
      eqeqeq: 'error',
    },
  },
  {
    files: ['core', 'schemas', 'log', 'catalogue', 'connectors', 'pipelines', 'cli'].map(
      (folder) => `${folder}/**/*.ts`,
    ),
    rules: {
      'no-restricted-properties': ['error', environmentElsewhere, ...posixProperties],
      'no-restricted-imports': [
        'error',
        {
          paths: ['node:fs', 'node:fs/promises'].map((name) => ({ name, importNames: posixFunctions, message: posix })),
        },
      ],
      'no-restricted-syntax': ['error', ...posixSyntax],
    },
  },
  { files: ['**/*.mjs', '**/*.cjs', '**/*.js'], extends: [tseslint.configs.disableTypeChecked] },
  {
    files: ['core/environment.ts', 'test/**', 'bench/**', 'vitest.config.ts'],
    rules: { 'no-restricted-properties': 'off', 'no-console': 'off' },
  },
)
