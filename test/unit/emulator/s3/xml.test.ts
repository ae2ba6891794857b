import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { children, childText, element, optional, parseXml, root, xml } from "../../../../emulator/s3/xml.ts";

test("writes elements in S3's name space, escaped", () => {
  const text = xml(
    root("List", [element("Key", `a<b>&"c'`), element("Size", 5), ...optional("None", undefined), element("Is", true)]),
  );
  expect(text).toBe(
    `<?xml version="1.0" encoding="UTF-8"?>\n<List xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Key>a&lt;b&gt;&amp;&quot;c'</Key><Size>5</Size><Is>true</Is></List>`,
  );
});

test("any text comes back as it was", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(parseXml(xml(element("Key", text))).text).toBe(text);
    }),
  );
});

test("reads what clients send: declaration, comments, attributes, prefixes, white space, empty elements", () => {
  const node = parseXml(`\uFEFF<?xml version="1.0"?>
    <!-- a comment -->
    <s3:Delete xmlns:s3='http://s3.amazonaws.com/doc/2006-03-01/'>
      <Object><Key>a &amp; b&#x20;&#49;</Key></Object>
      <Object><Key> c </Key><VersionId/></Object>
      <Quiet>true</Quiet>
    </s3:Delete>`);
  expect(node.name).toBe("Delete");
  expect(children(node, "Object").map((one) => childText(one, "Key"))).toEqual(["a & b 1", " c "]);
  expect(childText(node, "Quiet")).toBe("true");
  expect(childText(children(node, "Object")[1] ?? node, "VersionId")).toBe("");
});

describe("refuses", () => {
  test.each([
    "",
    "text",
    "<a>",
    "<a></b>",
    "</a>",
    "<a></a><b></b>",
    "<a></a>text",
    "<a>&unknown;</a>",
    "<a>& b</a>",
    "<a>&#x110000;</a>",
    "<a b></a>",
    '<!DOCTYPE a [<!ENTITY b "bbbb">]><a>&b;</a>',
    "<a>".repeat(20) + "</a>".repeat(20),
  ])("%s", (text) => {
    expect(() => parseXml(text)).toThrow();
  });
});

test("never hangs on nonsense", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom("<", ">", "/", "a", " ", "=", '"', "&", ";", "!", "-", "?") }),
      (text) => {
        try {
          parseXml(text);
        } catch {
          // refused, which is right for most
        }
      },
    ),
  );
});
