import { Marked, marked } from "marked";

const text = `# Title *with* emphasis

A [link](https://example.com "t"), \`code\` & <b>html</b>, ~~gone~~ https://auto.example.

- one
  - two
1. three

| a | b |
|---|:-:|
| 1 | 2 |

> quoted
\`\`\`js
let x = a < b;
\`\`\`
`;

export async function work() {
  const mine = new Marked({ gfm: true, breaks: true, renderer: { heading({ tokens, depth }) { return `<h${depth} id="x">${this.parser.parseInline(tokens)}</h${depth}>\n`; } } });
  return { html: await marked.parse(text), mine: mine.parse("# Hi\nthere\nyou"), tokens: marked.lexer(text).map((t) => t.type) };
}
