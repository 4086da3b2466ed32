// A file system whose unsynced writes live in this process only: SIGKILL of the process is then a power cut, for what
// was not flushed is gone. Names (create, rename, remove) take effect at once, as a journalling file system keeps them.
import { realFileSystem } from '../../dist/log/file-system.js'

export const volatileFileSystem = {
  ...realFileSystem,
  async open(path, mode) {
    return volatileFile(await realFileSystem.open(path, mode))
  },
}

function volatileFile(file) {
  /** Writes not yet flushed, oldest first. */
  let unsynced = []
  const flush = async () => {
    const taken = unsynced
    for (const { position, content } of taken) {
      for (let done = 0; done < content.length;) done += await file.write([content.subarray(done)], position + done)
    }
    // What was written while this flush ran belongs to the next one.
    unsynced = unsynced.slice(taken.length)
  }
  return {
    async write(buffers, position) {
      const content = Buffer.concat(buffers.map((buffer) => Buffer.from(buffer)))
      unsynced.push({ position, content })
      return content.length
    },
    async read(target, position) {
      const onDisk = await file.read(target, position)
      let end = onDisk
      for (const write of unsynced) {
        const from = Math.max(write.position, position)
        const to = Math.min(write.position + write.content.length, position + target.length)
        if (from >= to) continue
        if (from - position > end) target.fill(0, end, from - position)
        write.content.copy(target, from - position, from - write.position, to - write.position)
        end = Math.max(end, to - position)
      }
      return end
    },
    async datasync() {
      await flush()
      await file.datasync()
    },
    async sync() {
      await flush()
      await file.sync()
    },
    async truncate(size) {
      await flush()
      await file.truncate(size)
    },
    async size() {
      return Math.max(await file.size(), ...unsynced.map(({ position, content }) => position + content.length))
    },
    async close() {
      // Closing a file flushes nothing: what was not synced stays lost, as after a cut before the page cache is written.
      unsynced = []
      await file.close()
    },
  }
}
