const items: readonly (readonly [code: string, name: string, unit: string, low: number, high: number])[] = [
  ['WBC', '白细胞计数', '10^9/L', 3.5, 9.5],
  ['RBC', '红细胞计数', '10^12/L', 4.3, 5.8],
  ['HGB', '血红蛋白', 'g/L', 130, 175],
  ['HCT', '红细胞压积', '%', 40, 50],
  ['MCV', '平均红细胞体积', 'fL', 82, 100],
  ['MCH', '平均红细胞血红蛋白量', 'pg', 27, 34],
  ['MCHC', '平均红细胞血红蛋白浓度', 'g/L', 316, 354],
  ['RDW-CV', '红细胞分布宽度', '%', 11.5, 14.5],
  ['RDW-SD', '红细胞分布宽度标准差', 'fL', 37, 50],
  ['PLT', '血小板计数', '10^9/L', 125, 350],
  ['MPV', '平均血小板体积', 'fL', 7, 11],
  ['PDW', '血小板分布宽度', 'fL', 9, 17],
  ['PCT', '血小板压积', '%', 0.1, 0.28],
  ['P-LCR', '大型血小板比率', '%', 13, 43],
  ['NEUT#', '中性粒细胞绝对值', '10^9/L', 1.8, 6.3],
  ['NEUT%', '中性粒细胞百分比', '%', 40, 75],
  ['LYMPH#', '淋巴细胞绝对值', '10^9/L', 1.1, 3.2],
  ['LYMPH%', '淋巴细胞百分比', '%', 20, 50],
  ['MONO#', '单核细胞绝对值', '10^9/L', 0.1, 0.6],
  ['MONO%', '单核细胞百分比', '%', 3, 10],
  ['EO#', '嗜酸性粒细胞绝对值', '10^9/L', 0.02, 0.52],
  ['EO%', '嗜酸性粒细胞百分比', '%', 0.4, 8],
  ['BASO#', '嗜碱性粒细胞绝对值', '10^9/L', 0, 0.06],
  ['BASO%', '嗜碱性粒细胞百分比', '%', 0, 1],
]

/** A blood count as a Chinese LIS writes it: HL7 v2.5, 24 OBX, CR at each segment's end. Distinct for each number. */
export function bloodCountText(number: number): string {
  const id = String(100_000 + number)
  const second = String(10 + (number % 50))
  const time = `202405060830${second}`
  const segments = [
    `MSH|^~\\&|LIS|JYK|HUTONG|PROVINCE|${time}||ORU^R01^ORU_R01|M${id}|P|2.5|||AL|NE|CHN|UNICODE UTF-8`,
    `PID|1||P${id}^^^HIS^PI||测试${id}^^^^^^L||19800${1 + (number % 9)}15|${number % 2 ? 'M' : 'F'}|||某某路1号`,
    'PV1|1|O|MZ01^^^HOSP||||D001^王医生|||||||||||V' + id,
    `OBR|1|A${id}|R${id}|CBC^血常规五分类^LIS|||${time}|||||||${time}|BLD^静脉血|D001^王医生||||||${time}||HM|F`,
  ]
  for (const [index, [code, name, unit, low, high]] of items.entries()) {
    const value = (low + ((high - low) * ((number * 7 + index * 13) % 120)) / 100).toFixed(2)
    const flag = Number(value) > high ? 'H' : 'N'
    segments.push(
      `OBX|${index + 1}|NM|${code}^${name}^LIS||${value}|${unit}|${low}-${high}|${flag}|||F|||${time}||T01^检验师`,
    )
  }
  return segments.join('\r') + '\r'
}
