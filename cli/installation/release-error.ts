import { UsageError } from '../../core/errors.js'

/** Why a release, a package or an installation is refused. */
export type ReleaseFault =
  /** There is no installation or no release in this place, or what describes it cannot be read. */
  | 'not-a-release'
  | 'unsigned'
  /** The signature is not of these bytes, or of a key that this site does not know. */
  | 'signature-refused'
  | 'file-missing'
  | 'file-changed'
  /** A file that the release does not list: it could be loaded in place of one that it does. */
  | 'file-not-listed'
  /** The archive is torn, hostile, or larger than any release. */
  | 'archive-refused'
  | 'version-missing'
  /** The version reads an older form of the spool than the one that runs now writes. */
  | 'spool-format'

/** Refused before anything of the installation was changed. */
export class ReleaseError extends UsageError {
  constructor(
    readonly fault: ReleaseFault,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}
