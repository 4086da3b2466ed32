// Loaded before a process (NODE_OPTIONS=--import=…): its clock is wrong by TEST_CLOCK_SHIFT_MS.
const shiftMs = Number(process.env.TEST_CLOCK_SHIFT_MS)
const RealDate = Date
globalThis.Date = class Date extends RealDate {
  constructor(...parameters) {
    if (parameters.length === 0) super(RealDate.now() + shiftMs)
    else super(...parameters)
  }
  static now() {
    return RealDate.now() + shiftMs
  }
}
