// A field for a file that is uploaded as soon as it is chosen, with its progress.
import { h, setText, show } from "../core/dom.js";
import { bytes, count } from "../core/format.js";
import { progressBar } from "../core/states.js";
import { send } from "./transfer.js";

/**
 * A file field.
 *
 * @param field {id, label, accept, help}
 * @param onDone called with the service's description of the upload
 */
export function uploadControl({ id, label, accept, help }, onDone) {
  const bar = progressBar(`Upload of ${label}`);
  const status = h("span", { class: "muted", role: "status" });
  const error = h("span", { class: "field-error", role: "alert", hidden: true });
  const input = h("input", { type: "file", id, accept, onchange: choose, "aria-describedby": `${id}-help` });
  const stop = h("button", { type: "button", class: "small", hidden: true, onclick: () => running?.abort() }, "Stop");
  const node = h("div", { class: "field upload" }, h("label", { for: id }, label), input, bar.node, h("span", {}, status, " ", stop), error, h("small", { class: "muted", id: `${id}-help` }, help));
  let running = null;
  show(bar.node, false);

  async function choose() {
    const [file] = input.files;
    if (!file) return;
    running?.abort();
    const mine = new AbortController();
    running = mine;
    begin(file);
    try {
      const upload = await send(file, { signal: mine.signal, onProgress: (sent, paused) => progress(file, sent, paused) });
      end(null);
      setText(status, `${upload.filename}: ${contents(upload)}, ${bytes(upload.size_bytes)}`);
      onDone(upload);
    } catch (problem) {
      if (running !== mine) return; // another file was chosen
      end(problem.message);
    }
  }

  function begin(file) {
    show(error, false);
    show(bar.node, true);
    show(stop, true);
    progress(file, 0, null);
  }

  function progress(file, sent, paused) {
    const done = Math.min(sent, file.size);
    bar.update(done / file.size);
    setText(status, paused ?? (done === file.size ? "Checking the file …" : `${bytes(done)} of ${bytes(file.size)}`));
  }

  function end(problem) {
    running = null;
    show(bar.node, false);
    show(stop, false);
    show(error, problem !== null);
    setText(error, problem);
    if (problem === null) return;
    input.value = "";
    setText(status, "");
  }

  return {
    node,
    /** Forget the chosen file, because the job names something else. */
    clear() {
      running?.abort();
      input.value = "";
      setText(status, "");
    },
  };
}

function contents(upload) {
  return upload.images === null ? `${count(upload.tensors)} tensors` : `${count(upload.images)} images`;
}
