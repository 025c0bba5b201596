// `secateur detect`: finds objects in pictures, lists them, and draws them.
import { mkdir, stat } from 'node:fs/promises';
import { basename, extname, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { loadLetterboxed, toImage } from '../../data/detection/letterbox.js';
import { Detector } from '../../detection/detector.js';
import { drawBoxes, drawnEncoding, drawnEndings } from '../../detection/draw.js';
import type { Detection } from '../../detection/nms.js';
import { invalidOption, throwIfAborted } from '../../errors.js';
import { ioError } from '../../io-error.js';
import { writeAtomically } from '../../onnx/write.js';
import { formatReal, plural, printable } from '../format.js';
import { readNames } from '../names.js';
import { addOutputOptions, integer, outputFile, real, threadsOption } from '../options.js';
import type { CommandContext, Runner } from '../run.js';
import { renderTable } from '../table.js';

const EPILOGUE = `
Takes YOLOv4 and YOLOv4-tiny: our own models, pytorch-YOLOv4's and the ONNX model
zoo's. Pictures are JPEG, PNG, WebP, TIFF, GIF or AVIF.

Examples:
  $ secateur detect yolov4.onnx street.jpg -o found.png
  $ secateur detect yolov4.onnx photos/*.jpg -o found/ --score 0.5
  $ secateur detect yolov4.onnx street.jpg --json | jq '.images[0].detections'`;

interface Options {
  output?: string;
  score?: number;
  iou?: number;
  top?: number;
  diou?: boolean;
  names?: string;
  threads?: number;
  json?: boolean;
  quiet?: boolean;
}

/** What was found in one picture; boxes [left, top, width, height] in pixels of the upright picture. */
interface Found {
  path: string;
  width: number;
  height: number;
  output: string | null;
  detections: (Detection & { name: string })[];
}

export function addDetect(program: Command, run: Runner): void {
  const command = program
    .command('detect')
    .summary('find objects in pictures and draw boxes around them')
    .description('Finds objects in pictures with a YOLOv4, lists them and draws boxes around them.')
    .argument('<model>', 'ONNX file; its external data is found beside it')
    .argument('<images...>', 'pictures')
    .option('-o, --output <file>', `picture to write (${drawnEndings.join(', ')}); a folder for several`, outputFile())
    .option('--score <number>', 'least score, in [0, 0.9999] (default: 0.25)', real('--score', 0, 0.9999))
    .option(
      '--iou <number>',
      'of boxes of a class that overlap more, one stays; [0, 1] (default: 0.45)',
      real('--iou', 0, 1),
    )
    .option('--diou', 'count overlap for less where centres are apart (DIoU)')
    .option('--top <n>', 'at most so many in a picture, 1 or more (default: 100)', integer('--top', 1, 1e6))
    .option('--names <file>', "names of the classes, one a line (default: the model's)")
    .addOption(threadsOption())
    .addHelpText('after', EPILOGUE);
  addOutputOptions(command).action((model: string, images: string[], options: Options) =>
    run(options, (context) => detectAll({ model, images }, options, context)),
  );
}

async function detectAll(
  { model, images }: { model: string; images: readonly string[] },
  options: Options,
  { terminal, progress, signal }: CommandContext,
): Promise<void> {
  const outputs = await outputsFor(images, options.output);
  const detector = await Detector.open(model, { threads: options.threads });
  const results: Found[] = [];
  try {
    const names = options.names === undefined ? detector.names : await readNames(options.names, detector.classes);
    for (const [index, path] of images.entries()) {
      throwIfAborted(signal);
      const found = await detectOne(detector, path, { ...options, names });
      results.push({ ...found, output: await draw(found, outputs?.[index]) });
      progress.update('detecting', index + 1, images.length, 'steps');
    }
  } finally {
    await detector.close();
  }
  progress.stop();
  terminal.result({ model, images: results });
  for (const result of results) {
    const objects = plural(result.detections.length, 'object');
    terminal.say(
      `${printable(result.path)}: ${objects}${result.output === null ? '' : `, drawn to ${printable(result.output)}`}.`,
    );
    if (result.detections.length > 0) terminal.print(...table(result.detections, terminal));
  }
}

async function detectOne(
  detector: Detector,
  path: string,
  { score, iou, top, diou, names }: Omit<Options, 'names'> & { names: readonly string[] | undefined },
): Promise<Omit<Found, 'output'>> {
  const { pixels, letterbox, original } = await loadLetterboxed(path, detector.size);
  const [detections = []] = await detector.detect(pixels, 1, {
    scoreThreshold: score,
    iouThreshold: iou,
    maxDetections: top,
    overlap: diou === true ? 'diou' : 'iou',
  });
  return {
    path,
    ...original,
    detections: detections.map(({ category, score: value, box }) => ({
      category,
      name: names?.[category] ?? `class ${category}`,
      score: value,
      box: toImage(box, letterbox, original),
    })),
  };
}

async function draw({ path, detections }: Omit<Found, 'output'>, output: string | undefined): Promise<string | null> {
  if (output === undefined) return null;
  const boxes = detections.map(({ category, name, score, box }) => ({
    category,
    box,
    label: `${name} ${score.toFixed(2)}`,
  }));
  await writeAtomically(output, [await drawBoxes(path, boxes, output)]);
  return output;
}

/** The file to draw each picture to, or undefined where none is asked for. */
async function outputsFor(images: readonly string[], output: string | undefined): Promise<string[] | undefined> {
  if (output === undefined) return undefined;
  const isFolder = images.length > 1 || /[/\\]$/.test(output) || (await existingFolder(output));
  const outputs = isFolder ? images.map((image) => join(output, nameIn(image))) : [output];
  for (const name of outputs) drawnEncoding(name);
  const twice = outputs.find((name, index) => outputs.indexOf(name) !== index);
  if (twice !== undefined) throw invalidOption('-o', 'a folder for pictures of different names', twice);
  const same = outputs.find((name) => images.some((image) => resolve(image) === resolve(name)));
  if (same !== undefined) throw invalidOption('-o', 'another file than the pictures', same);
  if (isFolder) {
    await mkdir(output, { recursive: true }).catch((error: unknown) => {
      throw ioError('create', output, error);
    });
  }
  return outputs;
}

/** The picture's own name, as PNG where its format cannot be written. */
function nameIn(image: string): string {
  const ending = extname(image);
  return drawnEndings.includes(ending.toLowerCase()) ? basename(image) : `${basename(image, ending)}.png`;
}

async function existingFolder(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

function table(detections: Found['detections'], { width, bold, dim }: CommandContext['terminal']): string[] {
  return renderTable({
    columns: [
      { header: 'object', shrink: true },
      { header: 'score', align: 'right' },
      ...['left', 'top', 'width', 'height'].map((header) => ({ header, align: 'right' as const, leaves: 1 })),
    ],
    rows: detections.map(({ name, score, box }) => [
      printable(name),
      score.toFixed(3),
      ...box.map((side) => formatReal(Math.round(side * 10) / 10)),
    ]),
    ...{ width, bold, dim },
  });
}
