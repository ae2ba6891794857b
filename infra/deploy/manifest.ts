/** What a push records of the files that it sends. */
import type { SentFile } from "../../common/sent-files.ts";
import type { ContentFile } from "./content.ts";

/** The record of a file that lies on the machine as it lies here. */
export function sentFile(file: ContentFile, mtime = file.mtime): SentFile {
  const { path, sha256, size, mode } = file;
  return { path, sha256, size, mode, mtime, isLink: file.link !== null };
}
