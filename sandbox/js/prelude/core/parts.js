// Parts of the prelude that most functions do not need. Their source lies compressed
// until something asks for them; the image of a function is smaller for it. A part
// that the user's code names is compiled at deploy and is in the image already.
import { apply, defineProperty, join, keys, map, push } from "./primordials.js";
import { ask } from "./host.js";

const compile = Function;
let sources, core, names, values;
const loaded = { __proto__: null };

// setParts takes the names of the parts, whose sources the host has, the modules that
// they may import, and the globals of the language as they were. From here on the
// sources are in the image: what runs does not depend on the host that runs it.
export function setParts(parts, modules, globals) {
  sources = { __proto__: null };
  for (let i = 0; i < parts.length; i++) sources[parts[i]] = ask("prelude_part", parts[i]);
  core = modules;
  names = join(keys(globals), ",");
  values = map(keys(globals), (name) => globals[name]);
}

// use returns the exports of a part, and compiles it the first time.
export function use(name) {
  return loaded[name] ?? load(name);
}

function load(name) {
  const source = ask("utf8_decode", ask("decompress", "deflate-raw", sources[name]), "");
  const module = { __proto__: null, exports: undefined };
  const given = [require, module];
  for (let i = 0; i < values.length; i++) push(given, values[i]);
  const run = compile(`require,module,${names}`, source);
  apply(run, undefined, given);
  sources[name] = undefined;
  return (loaded[name] = module.exports);
}

const require = (path) => core[path] ?? use(path);

// lazy defines globals that load their part when they are first read. Writing to
// one replaces it, as for every global of the platform.
export function lazy(part, names) {
  for (let i = 0; i < names.length; i++) {
    const name = names[i];
    const define = (value) => defineProperty(globalThis, name, { __proto__: null, value, writable: true, configurable: true, enumerable: false });
    defineProperty(globalThis, name, {
      __proto__: null,
      configurable: true,
      enumerable: false,
      get() {
        const value = use(part)[name];
        define(value);
        return value;
      },
      set: define,
    });
  }
}
