// The prelude: what a function finds around it. Package prelude in Go puts these
// files together and says what the engine has to do with them.
import * as primordials from "./primordials.js";
import { keys } from "./primordials.js";
import * as hostModule from "./host.js";
import * as parts from "./parts.js";
import * as environment from "./env.js";
import * as dispatch from "./dispatch.js";
import * as console from "./console.js";
import * as timers from "./timers.js";
import "./db.js";
import "./locale.js";

// The identifiers in a user's source that call for each part. Missing one costs only
// time: what is not in the image is compiled when it is first used.
const words = {
  atomics: /\bAtomics\b/,
  inspect: /\bconsole\b/,
  events: /\b(Event|EventTarget|CustomEvent|AbortController|AbortSignal|fetch)\b/,
  encoding: /\b(TextEncoder|TextDecoder)\b/,
  url: /\b(URL|URLSearchParams|Request)\b/,
  urlpattern: /\bURLPattern\b/,
  intl: /\bIntl\b|\btoLocale(Date|Time)?String\b/,
  messages: /\bMessage(Channel|Event|Port)\b/,
  blob: /\b(Blob|File|FormData|formData)\b/,
  fetch: /\b(fetch|Headers|Request|Response|Deno\.serve)\b/,
  streams: /\b(\w+Stream|getReader|pipeTo|pipeThrough)\b/,
  clone: /\bstructuredClone\b/,
  crypto: /\bcrypto\b/,
};

// install is called once, before any code of the user, whose source bundle is.
export function install(host, bundle, globals) {
  hostModule.setHost(host);
  parts.setParts(keys(words), {
    __proto__: null,
    "../core/primordials.js": primordials,
    "../core/host.js": hostModule,
    "../core/parts.js": parts,
    "../core/env.js": environment,
    "../core/console.js": console,
    "../core/timers.js": timers,
    "../core/dispatch.js": dispatch,
  }, globals);
  parts.lazy("atomics", ["Atomics"]);
  parts.lazy("events", ["Event", "EventTarget", "CustomEvent", "ErrorEvent", "AbortController", "AbortSignal", "WebSocket"]);
  parts.lazy("encoding", ["TextEncoder", "TextDecoder"]);
  parts.lazy("url", ["URL", "URLSearchParams"]);
  parts.lazy("urlpattern", ["URLPattern"]);
  parts.lazy("intl", ["Intl"]);
  parts.lazy("messages", ["MessageChannel", "MessageEvent", "MessagePort"]);
  parts.lazy("blob", ["Blob", "File", "FormData"]);
  parts.lazy("fetch", ["Headers", "Request", "Response", "fetch"]);
  parts.lazy("streams", [
    "ReadableStream", "ReadableStreamDefaultReader", "ReadableStreamDefaultController", "ReadableByteStreamController", "ReadableStreamBYOBReader", "ReadableStreamBYOBRequest", "WritableStream", "WritableStreamDefaultWriter", "WritableStreamDefaultController",
    "TransformStream", "TransformStreamDefaultController", "ByteLengthQueuingStrategy", "CountQueuingStrategy", "TextEncoderStream", "TextDecoderStream", "CompressionStream", "DecompressionStream",
  ]);
  parts.lazy("clone", ["structuredClone"]);
  parts.lazy("crypto", ["crypto", "Crypto", "CryptoKey", "SubtleCrypto"]);
  for (const part in words) if (words[part].test(bundle)) parts.use(part);
  dispatch.start();
}
