/**
 * Words that may stay in free text: numbers and units have rules of their own, these are the qualitative words, the
 * headings and the common vocabulary of reports. Nothing that is a usual name of a person or a place belongs here.
 */
const chinese = `
阴性 阳性 弱阳性 强阳性 可疑 可疑阳性 不确定 灰区 临界 待定 正常 异常 未见 未见异常 未见明显异常 未检出 检出 未发现 未查见 发现
偏高 偏低 升高 降低 增高 减低 减少 增多 明显 轻度 中度 重度 少量 中量 大量 微量 结果 复查 建议 已复查 已复核 请结合临床 结合临床
临床 诊断 临床诊断 检查 检验 检查所见 所见 影像 影像所见 影像诊断 印象 结论 意见 提示 描述 表现 病史 主诉 既往史 现病史 过敏史 报告 标本
样本 溶血 脂血 黄疸 凝块 血液 全血 血清 血浆 尿液 粪便 大便 脑脊液 痰 痰液 咽拭子 分泌物 血常规 尿常规 白细胞 红细胞 血小板 血红蛋白
中性粒细胞 淋巴细胞 单核细胞 嗜酸性粒细胞 嗜碱性粒细胞 葡萄糖 血糖 肌酐 尿素 尿酸 胆固醇 甘油三酯 胆红素 转氨酶 蛋白 白蛋白 球蛋白
双肺 肺 左肺 右肺 上叶 中叶 下叶 纹理 清晰 增粗 紊乱 心影 大小 形态 正常范围 肝 胆 胰 脾 肾 双肾 膀胱 子宫 附件 前列腺 甲状腺 乳腺 颅脑
颈部 胸部 腹部 盆腔 脊柱 关节 骨质 软组织 结节 肿块 占位 钙化 囊肿 积液 渗出 实变 磨玻璃 磨玻璃影 密度 信号 回声 均匀 欠均匀 不均匀 边界
清楚 模糊 规则 不规则 扩张 增大 缩小 未见明显 明显异常 改变 随访 定期 进一步 治疗 术后 术前 化疗 放疗 活检 病理 免疫组化 大体 镜下
细菌 真菌 病毒 培养 无菌生长 无细菌生长 生长 菌落 敏感 耐药 中介 大肠埃希菌 肺炎克雷伯菌 铜绿假单胞菌 金黄色葡萄球菌 鲍曼不动杆菌
表皮葡萄球菌 粪肠球菌 屎肠球菌 白色念珠菌 肺炎链球菌 窦性心律 心律 心率 心动过速 心动过缓 早搏 房颤 传导阻滞 男 女 男性 女性 岁 个月 天 小时 分钟
左 右 左侧 右侧 双侧 上 下 前 后 内 外 大 小 无 有 未 不 及 和 与 或 为 于 在 的 是 见 伴 可 约 较 请 次 日 月 年 时 分 秒 时间 日期
高 低 空腹 餐后 门诊 住院 急诊 体检 患者 病人 姓名 性别 年龄 医生 医师 科室 床号 电话 备注 注 危急值 已通知 通知 重新 采集 采样 不足 合格 不合格
红色 黄色 淡黄色 透明 微浑 浑浊 黏液 软便 稀便 脓 脓性 血性 高血压 糖尿病 冠心病 肺炎 贫血 感染 炎症 发热 咳嗽 头痛 胸痛 腹痛 乏力`
  .split(/\s+/)
  .filter((word) => word !== '')

const english = `
a an and are as at be by can cannot for from has have if in is it may might must no non nor not of on or per should so than that the then there these
this those to up was were when which will with within without under over above below between during after before since until due other none only
also any all each both few more most some such same see seen via
negative positive normal abnormal high low elevated decreased increased reduced reactive nonreactive detected indeterminate equivocal
inconclusive borderline trace weak strong few many moderate mild severe rare occasional present absent unknown pending final preliminary
corrected amended cancelled canceled result results report value values range reference test tests testing specimen sample samples blood serum plasma urine
stool sputum swab csf fluid tissue biopsy culture cultures growth organism organisms isolate isolated colonies susceptible resistant
intermediate sensitive count cell cells platelet platelets hemoglobin haemoglobin hematocrit leukocytes erythrocytes neutrophils lymphocytes
monocytes eosinophils basophils glucose creatinine urea sodium potassium chloride calcium protein albumin bilirubin cholesterol
hemolyzed hemolysis lipemic icteric clotted insufficient quantity collected received reviewed repeat repeated confirmed clinical correlation
recommended recommend suggest suggests suggested consistent diagnosis impression findings finding history indication technique comparison conclusion
examination exam chest abdomen pelvis head neck brain spine lung lungs heart liver kidney kidneys spleen pancreas bowel bladder bone bones
left right bilateral upper middle lower lobe anterior posterior lateral medial size mass nodule lesion effusion pneumonia pneumothorax
fracture edema cardiomegaly unremarkable clear stable unchanged new evidence acute chronic focal diffuse contrast view views
patient male female age year years month months week weeks day days hour hours minute minutes date time note notes comment comments
please contact performed method code name number status type unit units interpretation risk fasting random morning
x ct mr mri us dx cr ecg ekg xr pet
g mg ug ng pg fg kg l dl ml ul fl mol mmol umol nmol pmol meq miu iu u ui mm cm um nm mmhg kpa pa bpm hz sec s min h hr ph wbc rbc hgb hct plt mcv mch
mchc rdw hpf lpf cfu copies dna rna pcr igg igm iga hiv hbsag hcv hbv abo rh crp esr alt ast alp ggt ldh tsh psa afp cea
http https www wado qido rs studies series instances frames studyuid seriesuid objectuid requesttype contenttype application dicom image text pdf
jpeg jpg png gif tiff html xml rtf plain octet stream multipart base64 hex loinc snomed sct icd ucum ln hl7 iso`
  .split(/\s+/)
  .filter((word) => word !== '')

const hanWords = new Set(chinese)
const longest = Math.max(...chinese.map((word) => word.length))
const latinWords = new Set(english.map((word) => word.toUpperCase()))

/** Words that stay in free text, those of this package and those handed in (names of catalogue items). */
export class Vocabulary {
  readonly #han: ReadonlySet<string>
  readonly #latin: ReadonlySet<string>
  readonly #longest: number

  constructor(more: readonly string[] = []) {
    const han = more.filter((word) => /^\p{Script=Han}{2,12}$/u.test(word))
    this.#han = han.length === 0 ? hanWords : new Set([...hanWords, ...han])
    this.#longest = Math.max(longest, ...han.map((word) => word.length))
    const latin = more.flatMap((word) => word.match(/[A-Za-z]{3,}/g) ?? []).map((word) => word.toUpperCase())
    this.#latin = latin.length === 0 ? latinWords : new Set([...latinWords, ...latin])
  }

  /** A Latin word, in whatever case. */
  hasWord(word: string): boolean {
    return this.#latin.has(word.toUpperCase())
  }

  /** The longest word of hanzi that starts here, 0 where none does. */
  hanWordAt(text: string, at: number): number {
    for (let length = Math.min(this.#longest, text.length - at); length > 0; length--) {
      if (this.#han.has(text.slice(at, at + length))) return length
    }
    return 0
  }

  /** Whether a longer word, or this one itself, covers the place: then it is no name there. */
  covers(text: string, start: number, end: number): boolean {
    const found = text.slice(start, end)
    if (/^[A-Za-z]+$/.test(found)) return this.hasWord(found)
    if (!/^\p{Script=Han}+$/u.test(found)) return false
    for (let from = Math.max(0, end - this.#longest); from <= start; from++) {
      for (let length = end - from; length <= Math.min(this.#longest, text.length - from); length++) {
        if (length >= 2 && this.#han.has(text.slice(from, from + length))) return true
      }
    }
    return false
  }
}
