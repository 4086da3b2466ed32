import { GatewayRefusal } from '../../core/gateway-refusals.js'

/** Bounds what is under way: bytes of all edges together, and batches of one. */
export class Admission {
  private bytes = 0
  private readonly batches = new Map<string, number>()

  constructor(
    private readonly limits: {
      readonly bytesMax: number
      /** Of one edge: a repeat may overtake the batch whose answer was lost. */
      readonly batchesPerEdgeMax: number
    },
  ) {}

  get bytesInFlight(): number {
    return this.bytes
  }

  /** Reserves; the function returned gives back, once. @throws GatewayRefusal edge-busy, overloaded */
  enter(edge: string, bytes: number): () => void {
    const under = this.batches.get(edge) ?? 0
    if (under >= this.limits.batchesPerEdgeMax) throw new GatewayRefusal('edge-busy', '', 2)
    if (this.bytes + bytes > this.limits.bytesMax) throw new GatewayRefusal('overloaded', '', 2)
    this.batches.set(edge, under + 1)
    this.bytes += bytes
    let entered = true
    return () => {
      if (!entered) return
      entered = false
      this.bytes -= bytes
      const left = (this.batches.get(edge) ?? 1) - 1
      if (left === 0) this.batches.delete(edge)
      else this.batches.set(edge, left)
    }
  }
}
