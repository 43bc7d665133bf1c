import { Buffer } from "buffer/";

// npm's Buffer, for packages that want node's.
export async function work() {
  const b = Buffer.from("hé €", "utf8");
  const n = Buffer.alloc(8);
  n.writeUInt32BE(0xdeadbeef, 0);
  n.writeInt16LE(-2, 4);
  return [
    b.toString("hex"), b.toString("base64"), Buffer.from("aGk=", "base64").toString(), Buffer.concat([b, Buffer.from([33])]).toString(), n.toString("hex"), n.readUInt32BE(0), Buffer.byteLength("€"), b.slice(0, 1).equals(Buffer.from("h")),
    Buffer.isBuffer(b), b instanceof Uint8Array, Buffer.from("ff00", "hex")[0], b.indexOf("é"), JSON.stringify(Buffer.from([1, 2])), Buffer.compare(Buffer.from("a"), Buffer.from("b")), Buffer.from("añ", "latin1").length,
  ];
}
