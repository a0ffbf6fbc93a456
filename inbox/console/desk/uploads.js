// Files of an answer that is being written: picked, pasted or dropped, uploaded at once, shown until it is sent.

import { post } from "../core/api.js";
import { fill, h } from "../core/dom.js";
import { icon } from "../core/icons.js";
import { size } from "../core/time.js";
import { t } from "../core/words.js";
import { pictureAddress } from "./files.js";

const MOST = 20;

/** Build the place for files; *changed* is called when there are others. */
export function uploads({ changed }) {
  let files = [];
  const element = h("ul.uploads", { "aria-label": t("file.list") });
  const input = h("input", { type: "file", multiple: true, hidden: true, "aria-label": t("write.attach") });
  input.addEventListener("change", () => {
    add(input.files);
    input.value = "";
  });

  function draw() {
    fill(element, input, files.map((one) => h(
      "li.file", { class: one.failure ? "failed" : one.id ? "" : "pending" },
      one.picture ? h("img", { src: one.picture, alt: "" }) : icon("file", 18), h("span.cut.grow", one.name),
      h("small.soft", one.failure || (one.id ? size(one.size) : t("file.uploading"))),
      one.failure && h("button.link", { type: "button", onclick: () => upload(one) }, t("do.again")),
      h("button.plain.small.square", { type: "button", "aria-label": t("file.remove", { name: one.name }), onclick: () => drop(one) }, icon("close", 14)),
    )));
  }

  function drop(one) {
    files = files.filter((each) => each !== one);
    if (one.picture) URL.revokeObjectURL(one.picture);
    draw();
    changed();
  }

  async function upload(one) {
    one.failure = "";
    draw();
    try {
      const query = new URLSearchParams({ name: one.name, type: one.type });
      const kept = await post(`/attachments?${query}`, one.blob);
      Object.assign(one, { id: kept.id, size: kept.size });
    } catch (failure) {
      one.failure = failure.words ?? t("fault.console");
    }
    draw();
    changed();
  }

  function add(list) {
    for (const file of [...list].slice(0, MOST - files.length)) {
      const one = { name: file.name || "image.png", type: file.type || "application/octet-stream", size: file.size, blob: file };
      files.push(one);
      pictureAddress(file).then((address) => {
        one.picture = address;
        draw();
      }, () => {});
      upload(one);
    }
    draw();
  }

  draw();
  return {
    element,
    add,
    pick: () => input.click(),
    ids: () => files.filter((one) => one.id).map((one) => one.id),
    busy: () => files.some((one) => !one.id && !one.failure),
    kept: () => files.filter((one) => one.id).map(({ id, name, size: bytes, type }) => ({ id, name, size: bytes, type })),
    restore(list) {
      files = list;
      draw();
    },
    sent(ids) {
      const gone = (one) => one.id && ids.includes(one.id);
      for (const one of files) if (gone(one) && one.picture) URL.revokeObjectURL(one.picture);
      files = files.filter((one) => !gone(one));
      draw();
    },
  };
}
