// Starts the version that current.json names. An update never replaces this file, so it does nothing else. It is written
// for the oldest Node that may be on a machine, to say what is needed instead of failing to be read.
'use strict'
/* eslint-disable @typescript-eslint/no-require-imports */
const fs = require('fs')
const path = require('path')
const url = require('url')

const stop = (text) => {
  process.stderr.write(text + '\n')
  process.exit(2)
}

const parts = process.versions.node.split('.').map(Number)
if (parts[0] < 20 || (parts[0] === 20 && parts[1] < 19))
  stop(
    'hutong: 需要 Node.js 20.19 或更高版本，当前为 ' +
      process.versions.node +
      '。请将 node 程序放入 runtime 文件夹。\nhutong: Node.js 20.19 or later is needed, this is ' +
      process.versions.node +
      '. Put a node binary into the folder runtime.',
  )

const current = path.join(__dirname, 'current.json')
let version
try {
  version = String(JSON.parse(fs.readFileSync(current, 'utf8')).version)
} catch (error) {
  stop('hutong: 无法读取 ' + current + '\nhutong: cannot read ' + current + ': ' + error.message)
}
const entry = path.join(__dirname, 'versions', version, 'dist', 'cli', 'main.js')
if (!fs.existsSync(entry))
  stop('hutong: 版本 ' + version + ' 不完整，缺少 ' + entry + '\nhutong: version ' + version + ' lacks ' + entry)
process.argv[1] = entry
import(url.pathToFileURL(entry).href)
