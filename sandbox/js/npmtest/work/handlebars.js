import Handlebars from "handlebars/dist/cjs/handlebars.js";

export async function work() {
  const h = Handlebars.create();
  h.registerHelper("money", (cents) => `$${(cents / 100).toFixed(2)}`);
  h.registerPartial("line", "{{name}}: {{money cents}}");
  const page = h.compile(`Hello {{user.name}}!{{#if lines}}{{#each lines}}
{{@index}} {{> line}}{{#unless @last}},{{/unless}}{{/each}}{{else}}nothing{{/if}} {{{raw}}} {{lookup map "k"}}{{#with user}} {{age}}{{/with}}`);
  // What a template must not reach.
  const hostile = h.compile("{{constructor.name}}|{{__proto__}}|{{#with (lookup this 'constructor')}}{{name}}{{/with}}");
  return {
    page: page({ user: { name: "<Ada>", age: 36 }, lines: [{ name: "tea", cents: 350 }, { name: "cake", cents: 499 }], raw: "<b>", map: { k: "v" } }), empty: page({}),
    hostile: hostile({}), escaped: Handlebars.escapeExpression("<script>'\"&`="), ast: Handlebars.parse("{{a}} b").body.map((n) => n.type),
  };
}
