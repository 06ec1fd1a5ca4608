import { createECDH, createHash, createPrivateKey, createPublicKey, hkdfSync, randomBytes, sign } from 'node:crypto';

/** What the surface serves TLS with, and what guests pin. */
export interface RendezvousTls {
  /** PEM. Secret. */
  readonly key: string;
  /** PEM. */
  readonly cert: string;
  /** `sha256//BASE64` of the public key (SPKI), as `curl --pinnedpubkey` takes it. */
  readonly pin: string;
}

/** The order of P-256 (SEC 2, secp256r1). */
const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/**
 * The key is derived from the installation's secret, so that every replica, also one that starts a year later, is the one
 * that guests have pinned. P-256, because every TLS client knows it.
 */
export function rendezvousTls(installationKey: Uint8Array): RendezvousTls {
  // 48 bytes modulo a number of 32: no value is likelier than another (FIPS 186-5, A.2.1).
  const wide = Buffer.from(hkdfSync('sha256', installationKey, 'slipway/1', 'rendezvous tls', 48));
  const scalar = ((BigInt(`0x${wide.toString('hex')}`) % (order - 1n)) + 1n).toString(16).padStart(64, '0');
  const d = Buffer.from(scalar, 'hex');
  const ecdh = createECDH('prime256v1');
  ecdh.setPrivateKey(d);
  const point = ecdh.getPublicKey();
  const jwk = {
    kty: 'EC',
    crv: 'P-256',
    d: d.toString('base64url'),
    x: point.subarray(1, 33).toString('base64url'),
    y: point.subarray(33).toString('base64url'),
  };
  const key = createPrivateKey({ key: jwk, format: 'jwk' });
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const pem = key.export({ type: 'pkcs8', format: 'pem' }).toString();
  const cert = certificate(spki, (data) => sign('sha256', data, key));
  return { key: pem, cert, pin: `sha256//${createHash('sha256').update(spki).digest('base64')}` };
}

const ofType = (type: number, ...parts: readonly Uint8Array[]): Buffer => {
  const content = Buffer.concat(parts);
  const length =
    content.length < 128
      ? [content.length]
      : content.length < 256
        ? [0x81, content.length]
        : [0x82, content.length >> 8, content.length & 255];
  return Buffer.concat([Buffer.from([type, ...length]), content]);
};
const sequence = (...parts: readonly Uint8Array[]): Buffer => ofType(0x30, ...parts);
const text = (type: number, value: string): Buffer => ofType(type, Buffer.from(value));
const oid = (hex: string): Buffer => ofType(0x06, Buffer.from(hex, 'hex'));

/**
 * A self-signed certificate (X.509 v1, RFC 5280) that is always valid. Nobody reads it: guests pin the key in it, whatever
 * their clock says; TLS only wants one. So it is twenty lines here, and no library with a dozen others behind it.
 */
function certificate(spki: Uint8Array, signed: (data: Uint8Array) => Uint8Array): string {
  const ecdsaWithSha256 = sequence(oid('2a8648ce3d040302'));
  const commonName = sequence(ofType(0x31, sequence(oid('550403'), text(0x0c, 'slipway rendezvous'))));
  const validity = sequence(text(0x17, '700101000000Z'), text(0x18, '99991231235959Z'));
  const serial = ofType(0x02, Buffer.from([0x01]), randomBytes(15));
  const content = sequence(serial, ecdsaWithSha256, commonName, validity, commonName, spki);
  const der = sequence(content, ecdsaWithSha256, ofType(0x03, Buffer.from([0]), signed(content)));
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}
