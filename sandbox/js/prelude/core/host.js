// The host, as the engine hands it over once. Only the prelude can reach it.
import { apply, DOMException } from "./primordials.js";

export let host;
export const setHost = (h) => { host = h; };

// ask is a synchronous host operation. The host names the exception that a failure
// is.
export function ask(...args) {
  try {
    return apply(host.ask, host, args);
  } catch (error) {
    const { name, message } = error;
    if (name === "TypeError" || name === "Error" || name === "RangeError" || name === "InternalError") throw error;
    throw new DOMException(message, name);
  }
}

// chance is ask for what differs from call to call. At deploy it would be kept in the
// image, and every call would see the same.
export function chance(...args) {
  if (host.building) {
    throw new DOMException("random values cannot be made at the top level of a module: it is evaluated once, at deploy, and every call would see the same. Make them inside the handler", "NotAllowedError");
  }
  return apply(ask, undefined, args);
}
