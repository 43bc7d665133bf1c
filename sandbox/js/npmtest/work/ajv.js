import Ajv from "ajv";

// Ajv writes code and compiles it, which the sandbox allows: it holds nothing that
// generated code could reach and other code could not.
export async function work() {
  const ajv = new Ajv({ allErrors: true, useDefaults: true, coerceTypes: true });
  const validate = ajv.compile({
    $id: "order", type: "object", required: ["id", "lines"], additionalProperties: false,
    properties: { id: { type: "integer" }, status: { enum: ["new", "paid"], default: "new" }, lines: { type: "array", minItems: 1, items: { $ref: "#/$defs/line" } } },
    $defs: { line: { type: "object", required: ["sku"], properties: { sku: { type: "string", pattern: "^[A-Z]+\\p{Nd}$" }, quantity: { type: "number", exclusiveMinimum: 0 } } } },
  });
  const good = { id: "7", lines: [{ sku: "AB1", quantity: 2 }] }, bad = { id: "x", lines: [{ sku: "1", quantity: 0 }, {}], more: 1 };
  return { good: validate(good), data: good, bad: validate(bad), errors: validate.errors, text: ajv.errorsText(validate.errors) };
}
