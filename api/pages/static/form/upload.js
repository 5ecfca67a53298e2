// The upload of dense weights, with its progress.
import { ROOT } from "../core/api.js";
import { h, setText, show } from "../core/dom.js";
import { bytes } from "../core/format.js";
import { progressBar } from "../core/states.js";

/** A file field that uploads safetensors; `onDone(upload)` gets the service's description of the file. */
export function uploadControl(onDone) {
  const bar = progressBar("Upload");
  const status = h("span", { class: "muted", role: "status" });
  const error = h("span", { class: "field-error", role: "alert", hidden: true });
  const input = h("input", { type: "file", id: "upload", accept: ".safetensors", onchange: send });
  const stop = h("button", { type: "button", class: "small", hidden: true, onclick: () => running?.abort() }, "Stop");
  const node = h("div", { class: "field" }, h("label", { for: "upload" }, "dense weights (file)"), input, bar.node, h("span", {}, status, " ", stop), error, h("small", { class: "muted" }, "A safetensors file with the state dict of this network. Without it, the dense network is trained first."));
  let running = null;
  show(bar.node, false);

  function send() {
    const [file] = input.files;
    if (!file) return;
    const request = new XMLHttpRequest();
    running = request;
    request.open("POST", `${ROOT}/v1/uploads?filename=${encodeURIComponent(file.name.slice(-200))}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => {
      bar.update(event.loaded / file.size);
      setText(status, `${bytes(event.loaded)} of ${bytes(file.size)}`);
    };
    request.onload = () => finish(request.status === 201 ? null : message(request), request);
    request.onerror = () => finish("The connection was lost; choose the file again.", request);
    request.onabort = () => finish("Stopped.", request);
    show(error, false);
    show(bar.node, true);
    show(stop, true);
    request.send(file);
  }

  function finish(problem, request) {
    running = null;
    show(bar.node, false);
    show(stop, false);
    show(error, problem !== null);
    setText(error, problem);
    input.value = problem === null ? input.value : "";
    if (problem !== null) return setText(status, "");
    const upload = JSON.parse(request.responseText);
    setText(status, `${upload.filename}: ${upload.tensors ?? "?"} tensors, ${bytes(upload.size_bytes)}`);
    return onDone(upload);
  }

  return { node };
}

function message(request) {
  try {
    return JSON.parse(request.responseText).detail;
  } catch {
    return `The service answered ${request.status}.`;
  }
}
