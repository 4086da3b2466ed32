import type { Environment } from '../../core/environment.js'
import type { RecordResult } from './record.js'

interface RecordTexts {
  readonly oneSource: string
  readonly badField: (field: string) => string
  readonly folderUsed: (dir: string) => string
  readonly keyMade: (file: string) => string
  readonly progress: (what: 'read' | 'written', done: number, of: number) => string
  readonly result: (result: RecordResult, out: string) => string
}

const list = (entries: readonly string[]): string => entries.map((entry) => `  ${entry}\n`).join('')
const reasons = ({ leftOut }: RecordResult): string[] =>
  Object.entries(leftOut).map(([reason, count]) => `${reason}: ${count}`)
const places = ({ leaks }: RecordResult): string[] =>
  leaks.map(({ segment, field, kind }) => `${segment} ${field} (${kind})`)

/** What `hutong record` says to a person. */
export const recordTexts: Readonly<Record<Environment['language'], RecordTexts>> = {
  zh: {
    oneSource: '请指明来源:文件或文件夹,或者 --spool,二者取一',
    badField: (field) => `--keep ${field}:字段写作 ZXX-3`,
    folderUsed: (dir) => `${dir} 不是空文件夹:请另选 --out`,
    keyMade: (file) => `已生成密钥 ${file}。请妥善保管,不要随案例一起交出:相同的密钥产生相同的假名。\n`,
    progress: (what, done, of) => `${what === 'read' ? '已读取' : '已写入'} ${done} / ${of}`,
    result: (result, out) =>
      result.leaks.length > 0
        ? `输出中发现可识别身份的内容,已全部删除。位置:\n${list(places(result))}`
        : `已写入 ${result.recorded} 个案例到 ${out}\n` +
          (reasons(result).length > 0 ? `未写入:\n${list(reasons(result))}` : '') +
          `交出之前必须由人逐个查看。试运行:hutong test ${out}\n`,
  },
  en: {
    oneSource: 'say where from: either files and folders, or --spool',
    badField: (field) => `--keep ${field}: a field is written ZXX-3`,
    folderUsed: (dir) => `${dir} is not empty: choose another --out`,
    keyMade: (file) =>
      `Made the key ${file}. Keep it and never hand it on with the cases: the same key gives the same pseudonyms.\n`,
    progress: (what, done, of) => `${done} / ${of} ${what}`,
    result: (result, out) =>
      result.leaks.length > 0
        ? `An identifying value was found in what was written; all of it is deleted. Where:\n${list(places(result))}`
        : `${result.recorded} cases written to ${out}\n` +
          (reasons(result).length > 0 ? `Left out:\n${list(reasons(result))}` : '') +
          `A person must read them before they are handed on. Try them: hutong test ${out}\n`,
  },
}
