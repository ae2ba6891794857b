/** XML: what is written comes back as it was, and what is read is S3's or refused. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { children, childText, element, optional, parseXml, root, XmlError, xml } from "../../../../emulator/s3/xml.ts";

describe("writing", () => {
  test("any text comes back as it was, control characters and line ends included", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 30 }), (text) => {
        const node = parseXml(xml(root("Answer", [element("Key", text)])));
        expect(childText(node, "Key")).toBe(text);
      }),
    );
  });

  test("text never becomes markup", () => {
    expect(element("Key", `<a b="c">&'`)).toBe(`<Key>&lt;a b=&quot;c&quot;&gt;&amp;'</Key>`);
    expect(element("Key", "\u0001\r\n")).toBe("<Key>&#x1;&#xd;&#xa;</Key>");
  });

  test("an answer begins with a declaration and stands in S3's name space", () => {
    expect(xml(root("A", [element("B", 1), ...optional("C", undefined), ...optional("D", "x")]))).toBe(
      '<?xml version="1.0" encoding="UTF-8"?>\n<A xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><B>1</B><D>x</D></A>',
    );
  });
});

describe("reading", () => {
  test("declaration, comments, name spaces, white space and either kind of quotes are taken", () => {
    const node = parseXml(
      "\uFEFF<?xml version='1.0'?>\n<!-- a <b> --><s3:Delete xmlns:s3=\"x\" a='1'>\n  <s3:Object><Key> a&#x20;&amp;b </Key></s3:Object>\n<Object/></s3:Delete>\n",
    );
    expect(node.name).toBe("Delete");
    expect(children(node, "Object")).toHaveLength(2);
    expect(childText(children(node, "Object")[0] as ReturnType<typeof parseXml>, "Key")).toBe(" a &b ");
  });

  test.each([
    ["", "nothing"],
    ["text", "text"],
    ["<a>", "an element that is not closed"],
    ["<a></b>", "one that is closed by another's name"],
    ["</a>", "an end without a beginning"],
    ["<a/><b/>", "two roots"],
    ["<a/>x", "text after the root"],
    ["<a>&b;</a>", "an entity of its own"],
    ["<a>&amp</a>", "a reference without its end"],
    ["<a>&#x110000;</a>", "a character that there is not"],
    ['<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "a document type"],
    ["<a b=c/>", "an attribute without quotes"],
    ["<a".repeat(3), "half an element"],
    [`${"<a>".repeat(20)}${"</a>".repeat(20)}`, "what is nested without end"],
  ])("%s is refused: %s", (text) => {
    expect(() => parseXml(text)).toThrow(XmlError);
  });

  test("any text is parsed or refused, quickly", () => {
    const unit = fc.constantFrom("<", ">", "/", "a", "b", "&", ";", "#", "x", '"', "=", " ", "!", "-", "?");
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 60 }), (text) => {
        try {
          parseXml(text);
        } catch (error) {
          expect(error).toBeInstanceOf(XmlError);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("a thousand keys, and an attack of a megabyte, are parsed before the test's time is up", () => {
    const keys = Array.from({ length: 1000 }, (_, at) => element("Object", [element("Key", `k${at}`)]));
    expect(children(parseXml(xml(root("Delete", keys))), "Object")).toHaveLength(1000);
    for (const one of ["<a ", " ", "&", "<!--", "a=''"]) {
      const text = `<a>${one.repeat(Math.floor(1e6 / one.length))}`;
      expect(() => parseXml(text)).toThrow(XmlError);
    }
  });
});
