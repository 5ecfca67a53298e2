// Sends a file: at once, or in parts that continue after a broken connection.
import { get, post, Problem, ROOT, Unreachable } from "../core/api.js";

/** Size from which a file is sent in parts, in bytes. */
const LARGE = 64 * 2 ** 20;
const RETRY_MS = 2000;
const MOST_REFUSALS = 5;

/**
 * Send `file`; returns the service's description of the upload.
 *
 * Parts need their sha256, which browsers compute on https and on the service's own machine alone. Elsewhere every file
 * is sent at once.
 *
 * @param signal ends the transfer with an AbortError
 * @param onProgress called with the number of bytes that have arrived, and with a sentence about a pause or null
 */
export async function send(file, { signal, onProgress }) {
  if (file.size < LARGE || !crypto.subtle) return sendAtOnce(file, signal, onProgress);
  return sendParts(file, signal, onProgress);
}

function sendAtOnce(file, signal, onProgress) {
  return transmit("POST", `/v1/uploads?filename=${encodeURIComponent(nameOf(file))}`, file, {}, signal, (sent) => onProgress(sent, null));
}

async function sendParts(file, signal, onProgress) {
  let state = await post("/v1/incoming-uploads", { filename: nameOf(file), size_bytes: file.size }, { signal });
  const address = `/v1/incoming-uploads/${state.id}`;
  let refusals = 0;
  const arrived = () => state.parts.reduce((sum, part) => sum + part.size_bytes, 0);
  while (state.missing.length) {
    try {
      state = await sendPart(file, address, state, signal, (sent) => onProgress(arrived() + sent, null));
      refusals = 0;
    } catch (error) {
      if (!canContinue(error) || (error instanceof Problem && (refusals += 1) > MOST_REFUSALS)) throw error;
      onProgress(arrived(), `${error.message}; the upload continues by itself`);
      await pause(signal);
      state = await get(address, { signal }).catch((again) => (canContinue(again) ? state : Promise.reject(again)));
    }
  }
  return post(`${address}/complete`, undefined, { signal });
}

async function sendPart(file, address, state, signal, onSent) {
  const [number] = state.missing;
  const begin = (number - 1) * state.part_bytes;
  const part = file.slice(begin, begin + state.part_bytes);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await part.arrayBuffer()));
  const headers = { "Content-Digest": `sha-256=:${btoa(String.fromCharCode(...digest))}:` };
  return transmit("PUT", `${address}/parts/${number}`, part, headers, signal, onSent);
}

/** A request whose body reports its progress, which fetch cannot. */
function transmit(method, path, body, headers, signal, onSent) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, ROOT + path);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => onSent(event.loaded);
    request.onload = () => (request.status < 300 ? resolve(JSON.parse(request.responseText)) : reject(refusal(request)));
    request.onerror = () => reject(new Unreachable("The connection was lost"));
    request.onabort = () => reject(new DOMException("Stopped.", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(body);
  });
}

function refusal(request) {
  try {
    return new Problem(request.status, JSON.parse(request.responseText));
  } catch {
    return new Problem(request.status, {});
  }
}

function canContinue(error) {
  return error instanceof Unreachable || (error instanceof Problem && error.retryable);
}

function pause(signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, RETRY_MS);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("Stopped.", "AbortError"));
    });
  });
}

function nameOf(file) {
  return file.name.slice(-200);
}
