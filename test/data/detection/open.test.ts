// From folders to pictures with boxes: COCO and YOLO, their usual layouts, and all that is said about damaged ones.
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { DetectionBatches } from '../../../src/data/detection/batches.js';
import { openDetection } from '../../../src/data/detection/open.js';
import { dataFolder } from '../../../src/data/open.js';
import { failure, temporaryFolder } from '../helpers.js';
import { writePlain } from './helpers.js';

/** A folder of text files, objects (as JSON) and pictures (by their sizes). */
async function folderOf(files: Record<string, string | object | [width: number, height: number]>): Promise<string> {
  const folder = temporaryFolder();
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    if (Array.isArray(content)) await writePlain(path, content[0], content[1], [1, 2, 3]);
    else writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  }
  return folder;
}

const image = (id: number, file_name: unknown, width: unknown = 20, height: unknown = 10) => ({
  id,
  file_name,
  width,
  height,
});
const annotation = (image_id: number, category_id: number, bbox: unknown, more = {}) => ({
  image_id,
  category_id,
  bbox,
  ...more,
});
const instances = {
  images: [image(7, 'b.png'), image(3, 'a.png')],
  categories: [
    { id: 90, name: 'toothbrush' },
    { id: 1, name: 'person' },
    { id: 13, name: 'stop sign' },
  ],
  annotations: [
    annotation(7, 13, [1, 2, 3, 4], { area: 9.5, iscrowd: 0, segmentation: [[1, 2]] }),
    annotation(7, 1, [15, 5, 10, 10], { iscrowd: 1 }),
    annotation(7, 90, [5, 5, 0, 3]),
    annotation(7, 90, [-9, 0, 9, 9]),
  ],
};

describe('COCO', () => {
  test('categories by id, boxes clipped, areas and crowds, pictures without boxes', async () => {
    const folder = await folderOf({ 'instances.json': instances, 'images/a.png': [20, 10], 'images/b.png': [20, 10] });
    const dataset = await openDetection(folder);
    expect(dataset).toMatchObject({
      classes: ['person', 'stop sign', 'toothbrush'],
      categoryIds: [1, 13, 90],
      leftOut: 2,
    });
    expect(dataset.images).toEqual([
      {
        id: 7,
        path: join(folder, 'images/b.png'),
        width: 20,
        height: 10,
        labels: [
          { category: 1, box: [1, 2, 3, 4], crowd: false, area: 9.5 },
          { category: 0, box: [15, 5, 5, 5], crowd: true, area: 100 },
        ],
      },
      { id: 3, path: join(folder, 'images/a.png'), width: 20, height: 10, labels: [] },
    ]);
  });

  test('the official layout, by split; a file by its name; pictures beside the file', async () => {
    const one = { ...instances, images: [image(1, 'x.png')], annotations: [annotation(1, 1, [0, 0, 5, 5])] };
    const folder = await folderOf({
      'annotations/instances_train2017.json': instances,
      'annotations/instances_val2017.json': one,
      'train2017/a.png': [20, 10],
      'train2017/b.png': [20, 10],
      'val2017/x.png': [20, 10],
    });
    expect(await openDetection(folder, 'train')).toMatchObject({ images: [{ id: 7 }, { id: 3 }] });
    const test = await openDetection(folder, 'test');
    expect(test.images.map(({ path }) => path)).toEqual([join(folder, 'val2017/x.png')]);
    expect(test.name).toMatch(/ \(test\)$/);
    expect(await openDetection(join(folder, 'annotations/instances_val2017.json'))).toMatchObject({
      images: test.images,
    });
    const beside = await folderOf({ '_annotations.coco.json': one, 'x.png': [20, 10] });
    expect((await openDetection(beside)).images[0]!.path).toBe(join(beside, 'x.png'));
    expect((await openDetection(beside)).name).not.toMatch(/\(/);
  });

  test('names in $SECATEUR_DATA, and file names with folders', async () => {
    const nested = { ...instances, images: [image(7, 'deep/er/b.png'), image(3, 'a.png')] };
    const folder = await folderOf({ 'instances.json': nested, 'deep/er/b.png': [20, 10], 'a.png': [20, 10] });
    expect((await openDetection(folder)).images[0]!.path).toBe(join(folder, 'deep/er/b.png'));
  });

  const refused: [string, object | string, RegExp][] = [
    ['no JSON', '{"images": [', /^INVALID_DATA: Expected .*instances\.json to be COCO instances.* it is not JSON/],
    ['a list', '[]', /it is JSON of another kind/],
    ['no lists', {}, /no list of categories; it has no list of images; it has no list of annotations$/],
    ['no images', { ...instances, images: [], annotations: [] }, /its list of images is empty/],
    [
      'entries that are none',
      { ...instances, images: [null, 7] },
      /images\[0\] is no object; images\[1\] is no object/,
    ],
    [
      'missing fields',
      { ...instances, images: [{ id: 7 }], annotations: [{ image_id: 7, category_id: 1 }] },
      /images\[0\] should have file_name a path inside the folder of pictures, but has none; annotations\[0\] should have image_id/,
    ],
    [
      'a size of nothing',
      { ...instances, images: [image(7, 'b.png', 0), image(3, 'a.png', 20, 1.5)] },
      /width .* has 0;.*1\.5/,
    ],
    [
      'boxes that are none',
      {
        ...instances,
        annotations: [
          annotation(7, 1, [0, 0, -1, 5]),
          annotation(7, 1, [0, 0, 5, -0.1]),
          annotation(7, 1, [0, 0, 5]),
          annotation(7, 1, [0, 0, '5', 5]),
          annotation(7, 1, [0, 0, null, 5]),
          annotation(7, 1, undefined),
          annotation(7, 1, 'all'),
        ],
      },
      /annotations\[0\] should have bbox \[left, top, width, height\], neither side negative, but has \[0,0,-1,5\]; .*annotations\[4\].*; and 2 more problems$/,
    ],
    [
      'ids without a partner, ids twice',
      {
        images: [image(7, 'b.png'), image(7, 'a.png')],
        categories: [...instances.categories, { id: 1, name: 'again' }],
        annotations: [annotation(8, 1, [0, 0, 1, 1]), annotation(7, 2, [0, 0, 1, 1])],
      },
      /categories\[3\] has the id 1 of another.*images\[1\] has the id 7 .*image_id of an image, but has 8; .*category_id of a category, but has 2/,
    ],
    [
      'a crowd of two',
      { ...instances, annotations: [annotation(7, 1, [0, 0, 1, 1], { iscrowd: 2 })] },
      /iscrowd 0 or 1/,
    ],
    ['an area below 0', { ...instances, annotations: [annotation(7, 1, [0, 0, 1, 1], { area: -1 })] }, /area a number/],
    [
      'a picture that is not there',
      { ...instances, images: [image(7, 'b.png'), image(3, 'c.png')] },
      /the picture c\.png is not in /,
    ],
    [
      'no picture at all',
      { ...instances, images: [image(7, 'c.png'), image(3, 'd.png')] },
      /c\.png is not in .*images, .*; the picture d/,
    ],
  ];
  test.each(refused)('refuses %s', async (_, json, message) => {
    const folder = await folderOf({ 'instances.json': json, 'images/a.png': [20, 10], 'images/b.png': [20, 10] });
    expect(await failure(() => openDetection(folder))).toMatch(message);
  });

  test.each([
    '../secret.png',
    'images/../../secret.png',
    '/etc/passwd',
    'C:\\secret.png',
    'c:secret.png',
    '..\\secret.png',
    '\\\\host\\share',
    'a\0.png',
    '',
    7,
  ])('refuses to look at %j', async (name) => {
    const folder = await folderOf({
      'set/instances.json': { ...instances, images: [image(7, name)] },
      'secret.png': [20, 10],
    });
    const problem = await failure(() => openDetection(join(folder, 'set')));
    expect(problem).toMatch(/^INVALID_DATA: .*file_name a path inside the folder of pictures/);
  });

  test('a damaged picture, or one of another size, is found when it is read', async () => {
    const folder = await folderOf({ 'instances.json': instances, 'a.png': [10, 20], 'b.png': 'not a picture' });
    const batches = new DetectionBatches(await openDetection(folder), { size: 32, batchSize: 1, shuffle: false });
    expect(await failure(() => batches.at({ epoch: 0, batch: 0 }))).toMatch(/^INVALID_DATA: .*b\.png .*whole picture/);
    expect(await failure(() => batches.at({ epoch: 0, batch: 1 }))).toMatch(/a\.png to be 20 x 10 .*it is 10 x 20/);
  });
});

describe('YOLO', () => {
  const files = {
    'images/a.png': [20, 10],
    'images/b.png': [8, 8],
    'images/c.png': [8, 8],
    'labels/a.txt': '2 0.5 0.5 0.1 0.2\r\n\n0 0.95 0.5 0.2 1\n1 0.5 0.5 0 0\n',
    'labels/b.txt': '',
    'classes.txt': 'cat\ndog\nbird\n\n',
  } as const;

  test('fractions become pixels and are clipped; pictures without labels; names of classes', async () => {
    const folder = await folderOf({ ...files });
    const dataset = await openDetection(folder);
    expect(dataset).toMatchObject({ classes: ['cat', 'dog', 'bird'], categoryIds: [0, 1, 2], leftOut: 1 });
    expect(dataset.images.map(({ id, labels }) => [id, labels.length])).toEqual([
      [0, 2],
      [1, 0],
      [2, 0],
    ]);
    const [first, second] = dataset.images[0]!.labels;
    expect(first).toMatchObject({ category: 2, crowd: false, area: 4 });
    expect(second).toMatchObject({ category: 0, area: 40 });
    for (const [got, wanted] of [
      [first!.box, [9, 4, 2, 2]],
      [second!.box, [17, 0, 3, 10]],
    ] as const) {
      for (const [side, value] of wanted.entries()) expect(got[side]).toBeCloseTo(value, 9);
    }
  });

  test('splits both ways round, labels beside pictures, classes by number', async () => {
    const line = '1 0.5 0.5 0.5 0.5';
    const outer = await folderOf({ 'images/train/a.png': [8, 8], 'labels/train/a.txt': line });
    const inner = await folderOf({ 'valid/images/a.png': [8, 8], 'valid/labels/a.txt': line, 'obj.names': 'x\ny' });
    const flat = await folderOf({ 'a.jpg': [8, 8], 'a.txt': line, 'voc.names': 'x\ny\nz' });
    expect(await openDetection(outer)).toMatchObject({ classes: ['0', '1'], images: [{ labels: [{ category: 1 }] }] });
    expect(await openDetection(inner, 'test')).toMatchObject({ classes: ['x', 'y'] });
    expect(await openDetection(flat)).toMatchObject({ classes: ['x', 'y', 'z'] });
    expect(await failure(() => openDetection(inner, 'train'))).toMatch(/to train, but it has only pictures to test/);
  });

  test.each([
    ['0 0.5 0.5 0.5', /^INVALID_DATA: .*a\.txt:1 should be "class x y width height" with fractions in \[0, 1\]/],
    ['0 0.5 0.5 0.5 0.5 0.9', /a\.txt:1 should be/],
    ['\n0 10 10 20 20', /a\.txt:2 should be .* but is "0 10 10 20 20"/],
    ['0 0.5 0.5 -0.1 0.5', /a\.txt:1 should be/],
    ['0 0.5 0.5 nan 0.5', /a\.txt:1 should be/],
    ['0 0.5 0.5 1e999 0.5', /a\.txt:1 should be/],
    [
      '3 0.5 0.5 0.1 0.1\n-1 0.5 0.5 0.1 0.1\n0.5 0.5 0.5 0.1 0.1',
      /a\.txt:1 should begin with one of the 3 classes.*:2 .*:3 /,
    ],
    ['cat 0.5 0.5 0.1 0.1', /a\.txt:1 should begin with/],
  ])('refuses %j', async (text, message) => {
    expect(await failure(async () => openDetection(await folderOf({ ...files, 'labels/a.txt': text })))).toMatch(
      message,
    );
  });

  test('refuses damaged pictures and empty names', async () => {
    const damaged = await folderOf({ ...files, 'images/b.png': 'no picture' });
    expect(await failure(() => openDetection(damaged))).toMatch(/^INVALID_DATA: .*b\.png to be a whole picture/);
    const nameless = await folderOf({ ...files, 'classes.txt': '\n' });
    expect(await failure(() => openDetection(nameless))).toMatch(/classes\.txt to be a name of a class a line/);
  });
});

describe('neither', () => {
  test.each([
    [
      { 'train.csv': 'x' },
      /^INVALID_DATA: Expected .* to be pictures with boxes: COCO .* or YOLO .*, but it has 1 other/,
    ],
    [{ 'set/images/a.png': 'x', 'set/labels/b.txt': 'x' }, /name one of its folders set$/],
    [{ 'annotations/instances_train_a.json': 'x', 'annotations/instances_train_b.json': 'x' }, /name one of them/],
  ])('%j', async (files, message) => {
    expect(await failure(async () => openDetection(await folderOf(files)))).toMatch(message);
  });

  test('nothing there, links in circles, a split that is none', async () => {
    expect(await failure(() => openDetection('nowhere/at/all'))).toMatch(/^IO: Could not open/);
    const folder = temporaryFolder();
    symlinkSync(join(folder, 'images'), join(folder, 'images'));
    expect(await failure(() => openDetection(folder))).toMatch(/^INVALID_DATA: .*pictures with boxes/);
    expect(await failure(() => openDetection(folder, 'val' as 'test'))).toMatch(/^INVALID_OPTION: Expected split/);
  });
});

const coco128 = resolve(dataFolder() ?? '', 'coco128');
describe.skipIf(!existsSync(coco128))('coco128', () => {
  test('is what its README says', async () => {
    const dataset = await openDetection('coco128');
    expect(dataset.name).toBe('coco128');
    expect(dataset.images).toHaveLength(128);
    expect(dataset.classes).toHaveLength(80);
    expect([dataset.classes[0], dataset.categoryIds[79], dataset.classes[79]]).toEqual(['person', 90, 'toothbrush']);
    const labels = dataset.images.flatMap((one) => one.labels);
    expect([labels.length, labels.filter(({ crowd }) => crowd).length, dataset.leftOut]).toEqual([939, 10, 0]);
    expect(labels.filter(({ category }) => category === 0)).toHaveLength(259);
    expect(new Set(labels.map(({ category }) => category)).size).toBe(71);
    expect(dataset.images.filter((one) => one.labels.length === 0).map(({ id }) => id)).toEqual([250, 508]);
  });

  test('every picture decodes with the size of its labels, and an epoch has every box', async () => {
    const batches = new DetectionBatches(await openDetection('coco128'), { size: 64, batchSize: 32 });
    const boxes: number[] = [];
    for await (const { inputs, labels } of batches.epoch(0)) {
      expect(inputs.every((value) => value >= 0 && value <= 1)).toBe(true);
      boxes.push(labels.flat().length);
    }
    expect(boxes.reduce((sum, count) => sum + count, 0)).toBe(939);
  });

  test('as YOLO labels it is the same', async () => {
    const coco = await openDetection('coco128');
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'labels'));
    symlinkSync(join(coco128, 'images'), join(folder, 'images'));
    writeFileSync(join(folder, 'classes.txt'), coco.classes.join('\n'));
    for (const { path, labels, width, height } of coco.images) {
      const lines = labels.map(({ category, box: [left, top, wide, high] }) => {
        const fractions = [(left + wide / 2) / width, (top + high / 2) / height, wide / width, high / height];
        return [category, ...fractions.map((value) => value.toFixed(9))].join(' ');
      });
      if (lines.length > 0)
        writeFileSync(join(folder, 'labels', path.replace(/.*\/|\.jpg$/g, '').concat('.txt')), lines.join('\n'));
    }
    const yolo = await openDetection(folder);
    expect(yolo.classes).toEqual(coco.classes);
    for (const [index, { labels }] of coco.images.entries()) {
      for (const [at, { category, box }] of labels.entries()) {
        const other = yolo.images[index]!.labels[at]!;
        expect(other.category).toBe(category);
        for (const [side, value] of box.entries()) expect(other.box[side]).toBeCloseTo(value, 5);
      }
    }
  });
});
