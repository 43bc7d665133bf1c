import Mustache from "mustache";

export async function work() {
  return [
    Mustache.render("{{title}} <{{{raw}}}> {{#list}}{{.}}, {{/list}}{{^none}}nothing{{/none}} {{> part}}", { title: "a & <b>", raw: "<i>", list: [1, "zwei"], none: false, name: "Ada" }, { part: "[{{name}}]" }),
    Mustache.render("{{#upper}}hello {{name}}{{/upper}} {{a.b}}", { name: "Ada", a: { b: 7 }, upper: () => (text, render) => render(text).toUpperCase() }),
    Mustache.parse("{{=<% %>=}}<% x %>").length,
  ];
}
