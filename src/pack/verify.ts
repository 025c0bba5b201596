// Whether ONNX Runtime loads a file, and how long that takes it.
import { isSecateurError, SecateurError } from '../errors.js';
import { hasRuntime, Session } from '../runtime/session.js';

/**
 * Loads a model and lets go of it.
 *
 * @returns the seconds it took, or null where onnxruntime-node is not installed.
 * @throws SecateurError RUNTIME where the runtime refuses the model.
 */
export async function verifyLoads(path: string): Promise<number | null> {
  if (!(await hasRuntime())) return null;
  const started = performance.now();
  try {
    const session = await Session.open(path);
    const seconds = (performance.now() - started) / 1000;
    await session.close();
    return seconds;
  } catch (error) {
    throw explain(error);
  }
}

function explain(error: unknown): unknown {
  if (!isSecateurError(error) || error.code !== 'RUNTIME') return error;
  const advice = 'nothing was written; does the input load there?';
  return new SecateurError('RUNTIME', `${error.message}; ${advice}`, { cause: error });
}
