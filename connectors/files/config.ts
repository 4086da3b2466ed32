import { Type, type Static, type TObject } from '@sinclair/typebox'

/** What a feed says about how its messages arrive as files in a folder. */
export const filesReceiveOptions = (patternsDefault: readonly string[]) => ({
  folder: Type.String({ minLength: 1, description: 'Folder the sender drops its files into; one folder per feed' }),
  sftp: Type.Optional(
    Type.Object(
      {
        host: Type.String({ minLength: 1, description: 'Name or address of the SFTP server' }),
        port: Type.Optional(Type.Integer({ minimum: 1, maximum: 65535, default: 22, description: 'Default 22' })),
        user: Type.String({ minLength: 1, description: 'Who logs in' }),
        hostKey: Type.String({
          pattern: '^SHA256:[A-Za-z0-9+/]{43}=?$',
          description: "Fingerprint of the server's key, as `ssh-keygen -lf` prints it; any other server is refused",
        }),
        password: Type.Optional(
          Type.String({ minLength: 1, description: 'Password; write ${NAME} to take it from the environment' }),
        ),
        privateKeyFile: Type.Optional(
          Type.String({ minLength: 1, description: 'Private key (OpenSSH or PEM) instead of a password' }),
        ),
        passphrase: Type.Optional(
          Type.String({
            minLength: 1,
            description: 'Of the private key; write ${NAME} to take it from the environment',
          }),
        ),
      },
      {
        additionalProperties: false,
        description:
          'The folder stands on an SFTP server: folder, archiveFolder and errorFolder are paths there, stateFolder one of ' +
          'this machine, which must be given. Default: the folder is of this machine',
      },
    ),
  ),
  patterns: Type.Optional(
    Type.Array(Type.String({ minLength: 1 }), {
      minItems: 1,
      default: [...patternsDefault],
      description: `File names that are read; * and ? as usual, upper and lower case alike. Default ${patternsDefault.join(', ')}`,
    }),
  ),
  ignoreSuffixes: Type.Optional(
    Type.Array(Type.String({ minLength: 1 }), {
      default: ['.tmp', '.part', '.filepart', '.crdownload', '~'],
      description:
        'Names that end like this are still being written, whatever the patterns say. ' +
        'Default .tmp, .part, .filepart, .crdownload, ~',
    }),
  ),
  subfolders: Type.Optional(
    Type.Boolean({ default: false, description: 'Also read the folders below, however deep. Default false' }),
  ),
  order: Type.Optional(
    Type.Union([Type.Literal('name'), Type.Literal('mtime')], {
      default: 'name',
      description: 'Which of several waiting files comes first: by name or oldest first. Default name',
    }),
  ),
  pollIntervalMs: Type.Optional(
    Type.Integer({
      minimum: 10,
      default: 5000,
      description:
        'How often the folder is listed, ms; the system may say earlier that something has come. Default 5000',
    }),
  ),
  stableForMs: Type.Optional(
    Type.Integer({
      minimum: 0,
      default: 10_000,
      description:
        'A file is read when its size and time have not changed for this long, ms; 0 for senders that rename a finished ' +
        'file into place. Default 10000',
    }),
  ),
  doneMarker: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        'Suffix of an empty file that says that a file is complete, for example `.ok`: a.hl7 is read when a.hl7.ok or ' +
        'a.ok is there. Replaces stableForMs. Default none',
    }),
  ),
  after: Type.Optional(
    Type.Union([Type.Literal('archive'), Type.Literal('delete'), Type.Literal('keep')], {
      default: 'archive',
      description:
        'What becomes of a file when all its messages are accepted. keep leaves it and remembers it in stateFolder. ' +
        'Default archive',
    }),
  ),
  archiveFolder: Type.Optional(
    Type.String({ minLength: 1, description: 'Where read files are moved. Default `archive` in the folder' }),
  ),
  errorFolder: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        'Where files are moved of which something was refused, with a note beside them that says what. ' +
        'Default `error` in the folder',
    }),
  ),
  stateFolder: Type.Optional(
    Type.String({
      minLength: 1,
      description: 'Where the progress within files is remembered. Default `.hutong` in the folder',
    }),
  ),
  maxMessageBytes: Type.Optional(
    Type.Integer({
      minimum: 256,
      maximum: 1024 * 1024 * 1024,
      default: 16 * 1024 * 1024,
      description:
        'Largest message taken, bytes; a larger one is refused and named in the error folder. Default 16777216',
    }),
  ),
  maxInFlightMessages: Type.Optional(
    Type.Integer({ minimum: 1, default: 1024, description: 'Messages read and not yet durable. Default 1024' }),
  ),
  maxInFlightBytes: Type.Optional(
    Type.Integer({
      minimum: 1,
      default: 64 * 1024 * 1024,
      description: 'The same in bytes; one message is always taken. Default 67108864 (64 MiB)',
    }),
  ),
  stopTimeoutMs: Type.Optional(
    Type.Integer({
      minimum: 0,
      default: 10_000,
      description: 'How long a stop waits for messages under way, ms; what is left is read again. Default 10000',
    }),
  ),
})

export type FilesReceiveConfig = Static<TObject<ReturnType<typeof filesReceiveOptions>>>

const defaults = {
  ignoreSuffixes: ['.tmp', '.part', '.filepart', '.crdownload', '~'],
  subfolders: false,
  order: 'name',
  pollIntervalMs: 5000,
  stableForMs: 10_000,
  after: 'archive',
  maxMessageBytes: 16 * 1024 * 1024,
  maxInFlightMessages: 1024,
  maxInFlightBytes: 64 * 1024 * 1024,
  stopTimeoutMs: 10_000,
} as const

/** The configuration with every default filled in. */
export type FilesSettings = FilesReceiveConfig & Required<Omit<FilesReceiveConfig, 'doneMarker' | 'sftp'>>

/** What the settings lack together. */
export function filesProblems(
  config: FilesReceiveConfig,
): readonly { readonly setting: string; readonly message: string }[] {
  const { sftp, stateFolder } = config
  if (sftp === undefined) return []
  const problems: { setting: string; message: string }[] = []
  if (stateFolder === undefined)
    problems.push({
      setting: 'stateFolder',
      message: 'with sftp name a folder of this machine that remembers what is read',
    })
  if (sftp.password === undefined && sftp.privateKeyFile === undefined)
    problems.push({ setting: 'sftp', message: 'add password or privateKeyFile' })
  return problems
}

/** Fills in the defaults; they are the ones the options state. */
export function filesSettings(config: FilesReceiveConfig, patternsDefault: readonly string[]): FilesSettings {
  const within = (name: string): string => `${config.folder.replace(/[/\\]+$/, '')}/${name}`
  return {
    ...defaults,
    patterns: [...patternsDefault],
    ignoreSuffixes: [...defaults.ignoreSuffixes],
    archiveFolder: within('archive'),
    errorFolder: within('error'),
    stateFolder: within('.hutong'),
    ...config,
  }
}
