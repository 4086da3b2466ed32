// PGlite on a thread of its own: a statement takes milliseconds to hundreds of them and would hold up everything else
// the process does, acknowledgements first. Plain JavaScript, because the thread starts from the sources as they are as
// well as from the built product. See embedded-database.ts for the other end.
import { PGlite } from '@electric-sql/pglite'
import { parentPort, workerData } from 'node:worker_threads'

const { dir, textTypes, integerTypes, binaryTypes } = workerData

const asText = (text) => text
function safeInteger(text) {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new Error(`an int8 beyond 2^53 was read: ${text}`)
  return value
}

const parsers = {}
for (const type of textTypes) parsers[type] = asText
for (const type of integerTypes) parsers[type] = safeInteger
// A buffer goes out in binary form, text as it is.
const serializers = Object.fromEntries(binaryTypes.map((type) => [type, (value) => value]))

const opening = PGlite.create({ ...(dir !== undefined && { dataDir: dir }), parsers })

async function answer({ kind, sql, values }) {
  const database = await opening
  switch (kind) {
    case 'open':
      return null
    case 'query':
      return database.query(sql, values, { serializers })
    case 'script':
      await database.exec(sql)
      return null
    case 'close':
      await database.close()
      return null
  }
}

parentPort.on('message', (request) => {
  answer(request).then(
    (result) => parentPort.postMessage({ id: request.id, rows: result?.rows, affectedRows: result?.affectedRows }),
    (error) => {
      const { message, code, constraint, detail, severity } = error
      parentPort.postMessage({ id: request.id, error: { message, code, constraint, detail, severity } })
    },
  )
})
