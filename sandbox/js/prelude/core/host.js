// The host, as the engine hands it over once. Only the prelude can reach it.
import { DOMException } from "./primordials.js";

export let host;
export const setHost = (h) => { host = h; };

// ask is a synchronous host operation. The host names the exception that a failure
// is.
export function ask(op, ...args) {
  try {
    return host.ask(op, ...args);
  } catch (error) {
    const { name, message } = error;
    if (name === "TypeError" || name === "Error" || name === "RangeError" || name === "InternalError") throw error;
    throw new DOMException(message, name);
  }
}
