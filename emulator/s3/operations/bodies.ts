/** Request bodies in XML: each has one root that it must have. */
import { S3Error } from "../errors.ts";
import { type Node, parseXml, XmlError } from "../xml.ts";

/** @throws S3Error MalformedXML */
export function parseBody(text: string, rootName: string): Node {
  try {
    const node = parseXml(text);
    if (node.name === rootName) return node;
  } catch (error) {
    if (!(error instanceof XmlError)) throw error;
  }
  throw new S3Error(
    "MalformedXML",
    "The XML you provided was not well-formed or did not validate against our published schema",
  );
}
