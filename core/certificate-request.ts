import { sign, verify, type KeyObject } from 'node:crypto'
import { AsnConvert } from '@peculiar/asn1-schema'
import { Attributes, CertificationRequest, CertificationRequestInfo } from '@peculiar/asn1-csr'
import { bytesOf, commonName, keyOfInfo, pemOf, publicKeyInfo, schemeOf } from './certificates.js'

/** A request for a certificate (PKCS #10, RFC 2986), PEM: proves that whoever asks holds the key. */
export function createCertificateRequest(name: string, key: KeyObject, publicKey: KeyObject): string {
  const { hash, algorithm } = schemeOf(key)
  const info = new CertificationRequestInfo({
    version: 0,
    subject: commonName(name),
    subjectPKInfo: publicKeyInfo(publicKey),
    attributes: new Attributes(),
  })
  const request = new CertificationRequest({
    certificationRequestInfo: info,
    signatureAlgorithm: algorithm,
    signature: bytesOf(sign(hash, Buffer.from(AsnConvert.serialize(info)), key)),
  })
  return pemOf('CERTIFICATE REQUEST', AsnConvert.serialize(request))
}

/**
 * The public key of a request whose signature is that key's: P-256, as edges make them. Name and extensions asked for
 * are not looked at: what a certificate says is decided by who issues it. @throws Error saying what is wrong
 */
export function requestedKey(pem: string): KeyObject {
  const base64 = /-----BEGIN CERTIFICATE REQUEST-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE REQUEST-----/.exec(
    pem,
  )?.[1]
  if (base64 === undefined) throw new Error('it is no PKCS #10 request in PEM')
  const { key, signed, signature } = parsed(Buffer.from(base64, 'base64'))
  if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    throw new Error('its key is not of the curve P-256')
  }
  if (!verify('sha256', signed, key, signature)) throw new Error('its signature is not of its key')
  return key
}

function parsed(der: Buffer): { readonly key: KeyObject; readonly signed: Buffer; readonly signature: Buffer } {
  try {
    const request = AsnConvert.parse(der, CertificationRequest)
    const { certificationRequestInfo: info, certificationRequestInfoRaw: raw } = request
    return {
      key: keyOfInfo(info.subjectPKInfo),
      signed: Buffer.from(raw ?? AsnConvert.serialize(info)),
      signature: Buffer.from(request.signature),
    }
  } catch (cause) {
    throw new Error('it is no PKCS #10 request', { cause })
  }
}
