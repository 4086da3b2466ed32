import { hl7v2Parser } from '../../connectors/hl7v2/to-events.js'
import { goldenCases } from '../golden-cases.js'

goldenCases({ name: 'hl7v2', input: 'input.hl7', casesMin: 45, parser: hl7v2Parser, messageType: /^[A-Z]{3}/ })
