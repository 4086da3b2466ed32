import { astmParser } from '../../connectors/astm-lis2/to-events.js'
import { goldenCases } from '../golden-cases.js'

goldenCases({ name: 'astm-lis2', input: 'input.astm', casesMin: 35, parser: astmParser, messageType: /^(ASTM|ORU)/ })
