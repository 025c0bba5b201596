// Gives memory of typed arrays back at once: the garbage collector knows how large they are, but seldom hurries for them, and
// what it has not got to by the end of opening a model is still there when training begins.
import { MessageChannel, type MessagePort } from 'node:worker_threads';

let port: MessagePort | undefined;

function closedPort(): MessagePort {
  if (port === undefined) {
    port = new MessageChannel().port1;
    port.close();
  }
  return port;
}

/** Frees whole buffers; every view of them has length 0 afterwards. What is sent through a closed port goes at once. */
export function freeMemory(buffers: Iterable<ArrayBufferLike>): void {
  const own = [...new Set(buffers)].filter((buffer) => buffer instanceof ArrayBuffer);
  closedPort().postMessage(null, own);
}
