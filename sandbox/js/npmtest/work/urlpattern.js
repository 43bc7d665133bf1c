import "urlpattern-polyfill";

// In a function it is the platform's own; in a node that has none, npm's.
export async function work() {
  const out = [];
  const show = (f) => {
    try {
      return f();
    } catch (error) {
      return error instanceof TypeError ? "TypeError" : String(error);
    }
  };
  const parts = ["protocol", "username", "password", "hostname", "port", "pathname", "search", "hash"];
  const patterns = [
    ["https://example.com/books/:id"], ["https://*.example.com:8080/*?q=:q#:h"], ["/books/:id(\\d+)", "https://example.com"], ["/a/:b?/:c*", "https://x"], ["/files{/:name}+.:ext", "https://x"],
    [{ pathname: "/users/:id/posts/:post" }], [{ hostname: "{*.}?example.com" }], [{ protocol: "http{s}?", pathname: "/x" }], [{ search: "a=:a&b=*" }], [{ pathname: "*.:ext(png|jpg)" }], [{ pathname: "/(.*)" }],
    [{ pathname: "/ünï/:x" }], [{ pathname: "/a\\:b" }], [{ pathname: "/:a-:b" }], [{ pathname: "{/:a}?" }], [{ pathname: "foo/bar", baseURL: "https://x/a/b?c#d" }], [{ port: "80", protocol: "http" }], ["data\\:foo*"], ["https://user:pw@h/"],
    ["../up/:x", "https://x/a/b/c"], ["?only=:q", "https://x/p"], ["#frag", "https://x/p?q"], [{ pathname: "/(" }], [{ pathname: "/:a/:a" }], ["relative"], [{ pathname: "/(a(b))" }], [{ hostname: "[\\:\\:1]" }], [{ pathname: "/a+" }], [{ pathname: "/**" }], [{}], ["https://example.com/:a/b.html"],
  ];
  const inputs = [
    ["https://example.com/books/12"], ["https://a.example.com:8080/x/y?q=1#top"], ["https://x/a/1"], ["https://x/a"], ["https://x/files/one/two.txt"], ["http://x/users/7/posts/8?z"], ["http://example.com/"], [{ pathname: "/x", protocol: "https" }],
    ["https://x/?a=1&b=2"], ["https://x/i/pic.png"], ["https://x/%C3%BCn%C3%AF/1"], ["https://x/a:b"], ["https://x/one-two"], ["https://x/a/foo/bar"], ["http://h:80/"], ["data:foobar"], ["https://user:pw@h/"], ["/up/1", "https://x/a"], ["https://x/p?only=1"], ["https://x/p?q#frag"], ["http://[::1]/"], ["nonsense"], [{ search: "a=1&b=2" }], ["https://example.com/z/b.html"], [{}], [],
  ];
  for (const args of patterns) {
    const made = show(() => new URLPattern(...args));
    if (typeof made === "string") {
      out.push([args, made]);
      continue;
    }
    const matches = inputs.map((input, i) => {
      if (!made.test(...input)) return undefined;
      const found = made.exec(...input);
      return [i, Object.fromEntries(parts.map((p) => [p, [found[p].input, found[p].groups]]))];
    });
    out.push([args, Object.fromEntries(parts.map((p) => [p, made[p]])), matches.filter((m) => m !== undefined)]);
  }
  const loose = new URLPattern({ pathname: "/Case" }, { ignoreCase: true });
  return [out, loose.test("https://x/cASE"), new URLPattern({ pathname: "/Case" }).test("https://x/case")];
}
