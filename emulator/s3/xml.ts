/**
 * XML both ways, as much as S3 needs: elements without attributes of meaning. What is written is escaped so that any
 * key comes back as it was; what is read is parsed strictly, without entities of its own, so that nothing expands.
 */

/** A written element. */
export type Written = string & { readonly written: unique symbol };

const NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/";

/** `<name>content</name>`: text (escaped), other elements, or nothing. */
export function element(name: string, content: string | number | boolean | readonly Written[] = ""): Written {
  const inner = Array.isArray(content) ? content.join("") : escapeText(String(content));
  return `<${name}>${inner}</${name}>` as Written;
}

/** The root of an answer, in S3's name space: some clients insist on it. */
export function root(name: string, content: readonly Written[] | string = []): Written {
  const inner = typeof content === "string" ? escapeText(content) : content.join("");
  return `<${name} xmlns="${NAMESPACE}">${inner}</${name}>` as Written;
}

/** An element for each value that is there. */
export function optional(name: string, value: string | number | undefined | null): Written[] {
  return value === undefined || value === null || value === "" ? [] : [element(name, value)];
}

export function xml(content: Written): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n${content}`;
}

const ESCAPES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

/** Control characters go out as references: XML 1.0 has no others, and S3 does the same. */
function escapeText(text: string): string {
  return text.replace(/[&<>"]|\p{Cc}/gu, (found) => ESCAPES[found] ?? `&#x${found.charCodeAt(0).toString(16)};`);
}

/** A parsed element. */
export interface Node {
  name: string;
  /** The text directly inside, when there are no elements. */
  text: string;
  children: Node[];
}

/** The text that is no XML that we read. */
export class XmlError extends Error {}

const TOKEN =
  /<\?[^>]*\?>|<!--[\s\S]*?-->|<(\/?)([A-Za-z_][\w.:-]*)((?:\s+[\w.:-]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)>|([^<]+)/y;
const DEEPEST = 16;

/** Parses a request's body. @throws XmlError */
export function parseXml(text: string): Node {
  const top: Node = { name: "", text: "", children: [] };
  const open: Node[] = [top];
  TOKEN.lastIndex = 0;
  const source = text.replace(/^\uFEFF/, "");
  let at = 0;
  while (at < source.length) {
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(source);
    if (!found) throw new XmlError(`not XML at character ${at}`);
    at = TOKEN.lastIndex;
    const [, closes, name, , isEmpty, content] = found;
    const current = open.at(-1) as Node;
    if (content !== undefined) {
      if (current === top && content.trim() !== "") throw new XmlError("text outside of the root");
      current.text += unescapeText(content);
    } else if (name === undefined) {
      // a declaration or a comment
    } else if (closes) {
      if (current === top || current.name !== localName(name)) throw new XmlError(`</${name}> closes nothing`);
      if (current.children.length > 0) current.text = "";
      open.pop();
    } else {
      const node: Node = { name: localName(name), text: "", children: [] };
      if (current === top && top.children.length > 0) throw new XmlError("more than one root");
      current.children.push(node);
      if (!isEmpty) open.push(node);
      if (open.length > DEEPEST) throw new XmlError("nested too deeply");
    }
  }
  const [result] = top.children;
  if (open.length !== 1 || !result) throw new XmlError("not complete");
  return result;
}

/** Text of the first child of a name. */
export function childText(node: Node, name: string): string | undefined {
  return node.children.find((child) => child.name === name)?.text;
}

export function children(node: Node, name: string): Node[] {
  return node.children.filter((child) => child.name === name);
}

function localName(name: string): string {
  return name.slice(name.indexOf(":") + 1);
}

const ENTITIES: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

function unescapeText(text: string): string {
  return text.replace(/&(#x[0-9a-fA-F]{1,6}|#\d{1,7}|\w+);?|&/g, (whole, name: string | undefined) => {
    if (name === undefined || !whole.endsWith(";")) throw new XmlError(`${whole} is no reference`);
    if (!name.startsWith("#")) {
      const known = ENTITIES[name];
      if (known === undefined) throw new XmlError(`&${name}; is not known`);
      return known;
    }
    const point = name[1] === "x" ? Number.parseInt(name.slice(2), 16) : Number(name.slice(1));
    if (!(point <= 0x10ffff)) throw new XmlError(`${whole} is no character`);
    return String.fromCodePoint(point);
  });
}
