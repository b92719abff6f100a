// @ts-check
/**
 * Let an element have these children, by a change of those that it has: what is the same stays, so that a selection in it,
 * or the title of what is under the pointer, is not lost. Not for elements with listeners of their own.
 * @param {Element} element @param {(Node | null)[]} children
 */
export function changeTo(element, ...children) {
  const wanted = children.filter((child) => child !== null);
  wanted.forEach((child, index) => {
    const there = element.childNodes[index];
    if (there instanceof Text && child instanceof Text) {
      if (there.data !== child.data) there.data = child.data;
    } else if (there instanceof HTMLElement && child instanceof HTMLElement && there.localName === child.localName) {
      takeAttributes(there, child);
      changeTo(there, ...child.childNodes);
    } else if (there) {
      there.replaceWith(child);
    } else {
      element.append(child);
    }
  });
  while (element.childNodes.length > wanted.length) element.lastChild?.remove();
}

/** @param {HTMLElement} element @param {HTMLElement} other */
function takeAttributes(element, other) {
  for (const { name } of [...element.attributes]) if (!other.hasAttribute(name)) element.removeAttribute(name);
  for (const { name, value } of other.attributes) {
    if (element.getAttribute(name) === value) continue;
    if (name === 'style') element.style.cssText = other.style.cssText; // as an attribute, the page's policy refuses it
    else element.setAttribute(name, value);
  }
}
