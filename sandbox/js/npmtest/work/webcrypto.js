// No package: the same calls of the platform's cryptography, with what is not random.
const hex = (b) => Array.from(new Uint8Array(b), (x) => x.toString(16).padStart(2, "0")).join("");
const bytes = (n, start = 0) => Uint8Array.from({ length: n }, (_, i) => (i + start) & 255);

async function attempt(f) {
  try {
    return await f();
  } catch (error) {
    return error.name;
  }
}

export async function work() {
  const { subtle } = crypto, out = {};
  for (const h of ["SHA-1", "SHA-256", "SHA-384", "SHA-512"]) {
    out[h] = hex(await subtle.digest(h, bytes(100)));
    const mac = await subtle.importKey("raw", bytes(33), { name: "HMAC", hash: h }, true, ["sign", "verify"]);
    const signature = await subtle.sign("HMAC", mac, bytes(50));
    out[`HMAC ${h}`] = [hex(signature), await subtle.verify("HMAC", mac, signature, bytes(50)), await subtle.verify("HMAC", mac, signature, bytes(51)), await subtle.exportKey("jwk", mac), mac.algorithm];
    const password = await subtle.importKey("raw", bytes(9), "PBKDF2", false, ["deriveBits", "deriveKey"]);
    out[`PBKDF2 ${h}`] = hex(await subtle.deriveBits({ name: "PBKDF2", hash: h, salt: bytes(16), iterations: 1000 }, password, 384));
    const hkdf = await subtle.importKey("raw", bytes(32), "HKDF", false, ["deriveBits"]);
    out[`HKDF ${h}`] = hex(await subtle.deriveBits({ name: "HKDF", hash: h, salt: bytes(4), info: bytes(3) }, hkdf, 512));
  }
  for (const [name, parameters] of Object.entries({
    "AES-GCM": { iv: bytes(12), additionalData: bytes(5) }, "AES-CBC": { iv: bytes(16) }, "AES-CTR": { counter: new Uint8Array(16).fill(255), length: 3 },
  })) {
    for (const size of [16, 32]) {
      const key = await subtle.importKey("raw", bytes(size), name, true, ["encrypt", "decrypt"]);
      const sealed = await subtle.encrypt({ name, ...parameters }, key, bytes(100));
      const broken = new Uint8Array(sealed).map((x, i) => (i === 99 ? x ^ 255 : x));
      out[`${name} ${size}`] = [hex(sealed), hex(await subtle.decrypt({ name, ...parameters }, key, sealed)), name === "AES-GCM" && await attempt(() => subtle.decrypt({ name, ...parameters }, key, broken))];
    }
  }
  const short = await subtle.importKey("raw", bytes(16), "AES-GCM", false, ["encrypt"]);
  out.tag96 = hex(await subtle.encrypt({ name: "AES-GCM", iv: bytes(12), tagLength: 96 }, short, bytes(10)));
  out.errors = [
    (await attempt(() => subtle.exportKey("raw", short))).slice(0, 13), // node 20 calls it InvalidAccessException
    await attempt(() => subtle.decrypt({ name: "AES-GCM", iv: bytes(12) }, short, bytes(20))), await attempt(() => subtle.importKey("raw", bytes(15), "AES-GCM", true, ["encrypt"])),
    await attempt(() => subtle.digest("MD5", bytes(1))), await attempt(() => subtle.importKey("raw", bytes(16), "AES-GCM", true, ["sign"])), await attempt(() => subtle.importKey("raw", bytes(16), "AES-GCM", true, [])),
    await attempt(() => subtle.sign({ name: "ECDSA", hash: "SHA-256" }, short, bytes(1))), await attempt(() => subtle.digest("SHA-256", "text")),
  ];
  for (const namedCurve of ["P-256", "P-384", "P-521"]) {
    const pair = await subtle.generateKey({ name: "ECDSA", namedCurve }, true, ["sign", "verify"]), a = { name: "ECDSA", hash: "SHA-384" };
    const signature = await subtle.sign(a, pair.privateKey, bytes(9));
    const again = await subtle.importKey("raw", await subtle.exportKey("raw", pair.publicKey), { name: "ECDSA", namedCurve }, true, ["verify"]);
    const priv = await subtle.importKey("pkcs8", await subtle.exportKey("pkcs8", pair.privateKey), { name: "ECDSA", namedCurve }, true, ["sign"]);
    const second = await subtle.sign(a, priv, bytes(9));
    const one = await subtle.generateKey({ name: "ECDH", namedCurve }, false, ["deriveBits"]), two = await subtle.generateKey({ name: "ECDH", namedCurve }, false, ["deriveBits"]);
    const left = await subtle.deriveBits({ name: "ECDH", public: two.publicKey }, one.privateKey, 128), right = await subtle.deriveBits({ name: "ECDH", public: one.publicKey }, two.privateKey, 128);
    out[namedCurve] = [signature.byteLength, await subtle.verify(a, again, signature, bytes(9)), await subtle.verify(a, again, second, bytes(9)), await subtle.verify(a, again, second, bytes(8)), hex(left) === hex(right), Object.keys(await subtle.exportKey("jwk", pair.privateKey)).sort()];
  }
  // An RSA key made for this test.
  const jwk = { kty: "RSA", n: "r8J5zOXIqXPsc5RMoq6tCcu4jLqIxalEGrNg6bWPle1uyH935U3iMkrSLCTWqtseTItJxkHQxUTz5hsI1zFZL94gWC2TnJtgJ4eRYUq_zW8giAvYofZVwfmN570qKJH6wwgwgGczO0oCRmHgPKfhJRj2vE40bWuwVxcRiI_2P8rmEEEjfrIuPSrMEJwYey2Nch9wEzpPpnZgNGkuCwaXqiGvgGRkAZzsysH_uKbaYbXOH-TXcUg_GrCTqpOxajGynKe731UoMF2qft1OrnwG8cgzRHEMXPA7ZQasKRXOyPlLD4zJA4UyiQK4Mr8oSLHzvhl3fT5jLR5kZNxsER1nQw", e: "AQAB", d: "RHq61yT-clt62KuC0m3JeMQZsycojA7_vIGAdH6ro6g_Xjof_kVCqQKy8cUmqKo4G223wFm7XGkZuGF3J9UP4VEj_AdB-KYnKC-vap9jrMir_aXT8YLXdfzkF9MBvo3mDKA_uX-8G9EhoseWxTtJwxj_ZW35ClsHeV9BExq4QLEJbvpBF-1gnazAHGrQH89LtaZk7h3iL_pu1iSMFpldz3gQ21rJZS28nqP8pFXOTnv7-rXN11XHNqdIuwqHVKshmUzi5UEH4zYvxRNBEJVMErm8WUMgRyJ8x2vKZV-IkGqawHZ7FA7cktqmLMe35mO6COlBBDPBj6xc-VqUk1sI4Q", p: "2JeLa-NuAkFdAxNj3kPrqN4NuKkOVmSsTgMo1jFwmp8RGjxrRuv0tNIuAWpOxS68xoB7SO0p6muoNsp4cZZNAxZQx-PE-1QUnVO0U55RogWUnvLJgueoeq34YOm3-igfMLLXwSTW1sBvGMvEozh5slDlQuVRqkWcnfxGUResXGE", q: "z70Jq9rIuwTg3v-vzESwA7LU9dB0kPyQ5tIWyh7wVJvhrL8TnnIoTvIuQA-hDuAB8WTVqayXQTRebJUU9utQSIRTHHwiBFgqpNGpLWS_luKg_6N5WnccwO540DTBTPtU74G-nWbs30XUdAgxMBcBfwhnM58UjTK9fICVCxlyhiM", dp: "w80MHzZ0xtksKpGm4NHqArjrEprR-Uv9cHDuw-Ph9gYCwgMIwA6jI6w2JtVh7GP6CEEyMpUkJWW5pf6Xr6e-ayILWQkRlFtIX4nCJS2kgqIk3ySBAzRFXNJVDdd7mEwZFj83SMXy6iUAyhu74go2CfuTpkwE7bcMhM4BC2IpUUE", dq: "Sqh0jle9pkDVlC8t_ep9m4astH8rNWQfq2S7nf5Kfw3aqBuvsFT0mZK9_nXfexoUeK21gBov7dYlTT6y3x6oprcvq2ANVaReBwf2lgLMPCzMkbMtjM6b_dZ2gtVC1yjIWJ83Yxg3bvKIrP64tsC93-qkNFAqsagXo2QOrIODviM", qi: "nbEQA9qpP3bF3PZsD8A621c9tAuowW1S_gsZWyuFWIGT55_EM3pf313587b9PmJCfwbbBQfrDH1EjehJnYhrI0iLYcLciTQbELG1k1sbW8MdRTkLZKgoH0vfuNnyOYifbJGql57w_NKgh5kH84Law_E7_tS-EdVoTSIHERWVRDY" };
  for (const name of ["RSASSA-PKCS1-v1_5", "RSA-PSS"]) {
    const { n, e, kty } = jwk;
    const priv = await subtle.importKey("jwk", jwk, { name, hash: "SHA-256" }, true, ["sign"]), pub = await subtle.importKey("jwk", { n, e, kty }, { name, hash: "SHA-256" }, true, ["verify"]);
    const signature = await subtle.sign({ name, saltLength: 32 }, priv, bytes(20));
    out[name] = [name === "RSA-PSS" ? signature.byteLength : hex(signature), await subtle.verify({ name, saltLength: 32 }, pub, signature, bytes(20)), await subtle.verify({ name, saltLength: 32 }, pub, signature, bytes(21)), pub.algorithm.modulusLength, [...pub.algorithm.publicExponent], hex(await subtle.digest("SHA-256", await subtle.exportKey("pkcs8", priv)))];
  }
  const oaep = { name: "RSA-OAEP", hash: "SHA-256" }, { n, e, kty } = jwk;
  const sealed = await subtle.encrypt({ ...oaep, label: bytes(2) }, await subtle.importKey("jwk", { n, e, kty }, oaep, true, ["encrypt"]), bytes(30));
  out.oaep = hex(await subtle.decrypt({ ...oaep, label: bytes(2) }, await subtle.importKey("jwk", jwk, oaep, true, ["decrypt"]), sealed));
  const ed = await subtle.importKey("jwk", { kty: "OKP", crv: "Ed25519", d: "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }, "Ed25519", true, ["sign"]);
  out.ed25519 = hex(await subtle.sign("Ed25519", ed, bytes(0)));
  return out;
}
