// What sigstore's DSSE encoding and Node's own crypto say, for tests/peers: one JSON question on stdin, one answer on stdout.
// It may require @sigstore/core and Node itself. It knows nothing of Pinwarden: keys, threshold and bytes are handed in.
'use strict'
const crypto = require('node:crypto')
const { dsse } = require('@sigstore/core')

const SPKI = Buffer.from('302a300506032b6570032100', 'hex')
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex')

function publicKey (raw) {
  return crypto.createPublicKey({ key: Buffer.concat([SPKI, raw]), format: 'der', type: 'spki' })
}

// The payload that enough distinct keys have signed; throws otherwise.
function judge (content, role) {
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content)
  const envelope = JSON.parse(text)
  if (typeof envelope.payloadType !== 'string' || typeof envelope.payload !== 'string') throw new Error('no envelope')
  const payload = Buffer.from(envelope.payload, 'base64')
  const message = dsse.preAuthEncoding(envelope.payloadType, payload)
  const good = new Set()
  for (const entry of envelope.signatures) {
    const raw = role.keys[entry.keyid]
    if (raw === undefined) continue
    const signature = Buffer.from(entry.sig, 'base64')
    if (crypto.verify(null, message, publicKey(Buffer.from(raw, 'hex')), signature)) good.add(raw)
  }
  if (good.size < role.threshold) throw new Error('too few signatures')
  return payload
}

function sign (payloadType, payload, seeds) {
  const message = dsse.preAuthEncoding(payloadType, payload)
  const signatures = seeds.map((seed) => {
    const key = crypto.createPrivateKey({ key: Buffer.concat([PKCS8, Buffer.from(seed, 'hex')]), format: 'der', type: 'pkcs8' })
    const spki = crypto.createPublicKey(key).export({ format: 'der', type: 'spki' })
    const keyid = crypto.createHash('sha256').update(spki).digest('hex')
    return { keyid, sig: crypto.sign(null, message, key).toString('base64') }
  })
  return JSON.stringify({ payloadType, payload: payload.toString('base64'), signatures })
}

function answer (question) {
  const content = Buffer.from(question.content, 'base64')
  if (question.seeds) return Buffer.from(sign(question.payloadType, content, question.seeds)).toString('base64')
  try {
    return judge(content, question.role).toString('base64')
  } catch {
    return null
  }
}

process.stdout.write(JSON.stringify(JSON.parse(require('node:fs').readFileSync(0, 'utf8')).map(answer)))
