import * as yup from "yup";

export async function work() {
  const schema = yup.object({ name: yup.string().required().trim(), age: yup.number().positive().integer(), email: yup.string().email(), since: yup.date().default(new Date(0)), tags: yup.array(yup.string()).max(2), again: yup.string().oneOf([yup.ref("name")]) });
  const errors = await schema.validate({ name: " ", age: -1.5, email: "x", tags: ["a", "b", "c"], again: "y" }, { abortEarly: false }).catch((e) => [e.name, e.errors, e.inner.map((i) => i.path)]);
  return { cast: await schema.validate({ name: " Ada ", age: "36", again: "Ada" }), errors, described: Object.keys(schema.describe().fields) };
}
