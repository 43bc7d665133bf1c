import { XMLBuilder, XMLParser, XMLValidator } from "fast-xml-parser";

export async function work() {
  const xml = '<?xml version="1.0"?><feed xmlns:a="urn:a"><entry id="1"><title>A &amp; B</title><n>007</n><x>1.5</x></entry><entry id="2"><![CDATA[<raw>]]></entry></feed>';
  const options = { ignoreAttributes: false, attributeNamePrefix: "@", isArray: (name) => name === "entry" };
  const parsed = new XMLParser(options).parse(xml);
  return { parsed, built: new XMLBuilder({ ...options, format: true }).build({ a: { "@x": 1, b: ["1", "2 < 3"] } }), valid: XMLValidator.validate(xml), invalid: XMLValidator.validate("<a><b></a>") };
}
