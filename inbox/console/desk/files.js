// Files of messages: pictures of kinds that cannot run anything are shown, everything else is a download.

import { bytes } from "../core/api.js";
import { dialog } from "../core/dialogs.js";
import { fill, h } from "../core/dom.js";
import { icon } from "../core/icons.js";
import { size } from "../core/time.js";
import { t } from "../core/words.js";

const LARGEST = 12 * 1024 * 1024;
const SHOWN = /^image\/(?:png|jpeg|gif|webp)$/;
const BEGINS = [
  ["image/png", [0x89, 0x50, 0x4e, 0x47]],
  ["image/jpeg", [0xff, 0xd8, 0xff]],
  ["image/gif", [0x47, 0x49, 0x46, 0x38]],
  ["image/webp", [0x52, 0x49, 0x46, 0x46]],
];

/** Return the type of a picture by how its bytes begin, "" for anything else: what it claims to be does not count. */
async function kindOf(blob) {
  const head = new Uint8Array(await blob.slice(0, 12).arrayBuffer());
  const found = BEGINS.find(([, begin]) => begin.every((byte, index) => head[index] === byte));
  if (!found) return "";
  return found[0] !== "image/webp" || String.fromCharCode(...head.slice(8, 12)) === "WEBP" ? found[0] : "";
}

/** Return an address for a picture within the page, "" if it is none. Whoever takes it gives it back. */
export async function pictureAddress(blob) {
  const kind = await kindOf(blob);
  return kind ? URL.createObjectURL(blob.slice(0, blob.size, kind)) : "";
}

/** Return the element of one attachment as the API shows it. */
export function attachment(one) {
  if (one.state === "ready" && SHOWN.test(one.type) && (one.size ?? 0) <= LARGEST) return picture(one);
  return chip(one);
}

function chip(one) {
  const name = one.name || t("file.unnamed");
  const about = one.state === "ready" ? (one.size ? size(one.size) : "") : one.state === "pending" ? t("file.pending") : t("file.failed");
  const inside = [icon(one.state === "failed" ? "alert" : "file", 18), h("span.cut.grow", name), h("small.soft", about)];
  if (one.state !== "ready") return h("div.file", { class: one.state, title: one.error }, inside);
  return h("a.file", { href: one.url, download: name, "aria-label": t("file.download", { name }) }, inside, icon("download", 16));
}

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    seen.unobserve(entry.target);
    entry.target.show?.();
  }
});

function picture(one) {
  const name = one.name || t("file.picture");
  const element = h("button.picture", { type: "button", "aria-label": t("file.enlarge", { name }) }, h("span.meta", name));
  let address = "";
  element.show = async () => {
    try {
      const blob = await bytes(one.url);
      address = await pictureAddress(blob);
      if (!address) throw new TypeError("no picture");
      fill(element, h("img", { src: address, alt: name }));
    } catch {
      element.replaceWith(chip(one));
    }
  };
  element.addEventListener("click", () => {
    if (!address) return;
    dialog(name, h("div.stack", h("img.large", { src: address, alt: name }), h("a.button", { href: one.url, download: name }, icon("download", 16), t("file.save"))), { wide: true });
  });
  element.release = () => URL.revokeObjectURL(address);
  seen.observe(element);
  return element;
}

/** Give back what pictures below an element hold. */
export function release(element) {
  for (const one of element.querySelectorAll(".picture")) one.release?.();
}
