import { describe, expect, test } from 'vitest'
import { childAt, childrenOf, declaredEncoding, parseXml, textOf } from '../../connectors/xml/xml.js'

describe('XML', () => {
  test('names, namespaces, attributes and text stand as written', () => {
    const root = parseXml(
      '<?xml version="1.0"?><!-- 注释 --><检验报告 xmlns="urn:a" xmlns:x="urn:b" 号="1"><项目 x:码="K"> 钾 <![CDATA[<3.9>]]></项目><项目/></检验报告>',
    )
    expect(root).toMatchObject({ name: '检验报告', namespace: 'urn:a', line: 1 })
    expect([...root.attributes]).toEqual([['号', '1']])
    expect([...childAt(root, '项目')!.attributes]).toEqual([['{urn:b}码', 'K']])
    expect(textOf(childAt(root, '项目'))).toBe(' 钾 <3.9>')
    expect(childrenOf(root, '项目')).toHaveLength(2)
    expect(childAt(root, '项目', '无')).toBeUndefined()
  })

  test.each([
    ['<a><b></a>', 2],
    ['', 1],
    ['<a>&nbsp;</a>', 1],
    ['<a/><b/>', 1],
    ['text', 1],
  ])('%j is refused with its line', (text) => {
    expect(() => parseXml(text)).toThrow(expect.objectContaining({ code: 'xml-malformed' }))
  })

  test('entities of a document type are not expanded, and nothing outside is read', () => {
    const bomb = '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;"><!ENTITY f SYSTEM "file:///etc/passwd">]>'
    for (const entity of ['c', 'f']) {
      expect(() => parseXml(`${bomb}<a>&${entity};</a>`)).toThrow(expect.objectContaining({ code: 'xml-malformed' }))
    }
    expect(parseXml(`${bomb}<a/>`).name).toBe('a')
  })

  test('depth is bounded', () => {
    expect(() => parseXml('<a>'.repeat(100_000))).toThrow(/nested more than 200 deep/)
  })

  test('the declared encoding is read from the bytes', () => {
    expect(declaredEncoding(Buffer.from('\ufeff<?xml version="1.0" encoding="GBK"?><a/>'))).toBe('GBK')
    expect(declaredEncoding(Buffer.from("<?xml version='1.0' encoding='utf-8' standalone='yes'?>"))).toBe('utf-8')
    expect(declaredEncoding(Buffer.from('<a encoding="GBK"/>'))).toBeUndefined()
  })
})
