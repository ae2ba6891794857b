/** The storage suite against the emulator's own store. */
import { startEmulatedS3 } from "../../helpers/s3.ts";
import { storageSuite } from "./suite/index.ts";

storageSuite("the emulated S3", await startEmulatedS3());
