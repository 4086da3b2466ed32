import type { FeedActivation } from '../../repository/feed-activation.js'

/**
 * An active feed is read by other settings than those it was activated with; false where they were not recorded, as for feeds
 * that were in production before activation was asked for. Pure.
 */
export const isChanged = (activation: FeedActivation | undefined, configurationSha256: string): boolean =>
  activation?.isActive === true &&
  activation.configurationSha256 !== null &&
  activation.configurationSha256 !== configurationSha256
