import * as jose from "jose";

// Keys made for this test; they protect nothing.
const secret = new TextEncoder().encode("a secret of more than thirty-two bytes, for HS256");
const known = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhZGEiLCJpYXQiOjE3MDAwMDAwMDAsImV4cCI6NDEwMjQ0NDgwMH0";

async function attempt(f) {
  try {
    return await f();
  } catch (error) {
    return `${error.code}`;
  }
}

export async function work() {
  const hs = await new jose.SignJWT({ role: "admin" }).setProtectedHeader({ alg: "HS256" }).setSubject("ada").setIssuedAt(1700000000).setExpirationTime(4102444800).sign(secret);
  const { payload } = await jose.jwtVerify(hs, secret);
  const pairs = {};
  for (const alg of ["ES256", "ES384", "EdDSA"]) {
    const { publicKey, privateKey } = await jose.generateKeyPair(alg, { extractable: true });
    const token = await new jose.SignJWT({ alg }).setProtectedHeader({ alg }).setExpirationTime(4102444800).sign(privateKey);
    const again = await jose.importJWK(await jose.exportJWK(publicKey), alg);
    const pem = await jose.importSPKI(await jose.exportSPKI(publicKey), alg);
    pairs[alg] = [(await jose.jwtVerify(token, again)).payload.alg, (await jose.jwtVerify(token, pem)).payload.alg, (await jose.exportPKCS8(privateKey)).split("\n")[0]];
  }
  const jwe = await new jose.EncryptJWT({ hidden: "ünïcode" }).setProtectedHeader({ alg: "dir", enc: "A256GCM" }).encrypt(secret.slice(0, 32));
  const cbc = await new jose.CompactEncrypt(new TextEncoder().encode("cbc")).setProtectedHeader({ alg: "dir", enc: "A128CBC-HS256" }).encrypt(secret.slice(0, 32));
  const { publicKey } = await jose.generateKeyPair("ES256");
  const set = jose.createLocalJWKSet({ keys: [{ ...(await jose.exportJWK(publicKey)), kid: "1", alg: "ES256" }] });
  return {
    hs, payload, pairs,
    decrypted: (await jose.jwtDecrypt(jwe, secret.slice(0, 32))).payload,
    cbc: new TextDecoder().decode((await jose.compactDecrypt(cbc, secret.slice(0, 32))).plaintext),
    forged: await attempt(() => jose.jwtVerify(hs.slice(0, -2) + "xx", secret)),
    expired: await attempt(async () => jose.jwtVerify(await new jose.SignJWT({}).setProtectedHeader({ alg: "HS256" }).setExpirationTime(1).sign(secret), secret)),
    wrongKey: await attempt(() => jose.jwtVerify(hs, new TextEncoder().encode("another secret of more than thirty-two bytes"))),
    noKey: await attempt(() => jose.jwtVerify(hs, set)),
    thumbprint: await jose.calculateJwkThumbprint({ kty: "oct", k: "c2VjcmV0" }),
    decoded: jose.decodeJwt(known + ".x"),
  };
}
