"""Label tables: the built-in numberings, the user's files, and looking up a volume."""

from __future__ import annotations

import json

import pytest
import torch
from tests.support import as_users_run

from diffus.labels import LabelRow, LabelTable, label_table
from diffus.tissues import TISSUES, tissue
from diffus.volume import Volume

SMALL = LabelTable(
    "small",
    {0: LabelRow("gel", 1.5, 0.01, 0.0), 3: LabelRow("a", 1.6, 0.5, 0.01), 7: LabelRow("b", 1.7, 0.9, 0.02)},
    "gel",
)


# --- built-in tables ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["freesurfer", "fast", "totalsegmentator", "tissues"])
def test_every_built_in_table_says_what_zero_is(name):
    table = label_table(name)
    assert table.name == name
    assert 0 in table.rows
    assert 0 in table.from_image
    assert table.background.startswith("label 0 is")
    values = {row.acoustic for row in TISSUES.values()}
    assert all(row[1:] in values for row in table.rows.values())


@pytest.mark.parametrize(
    ("name", "label", "structure", "of"),
    [
        ("fast", 1, "csf", "csf"),
        ("fast", 2, "grey_matter", "grey_matter"),
        ("fast", 3, "white_matter", "white_matter"),
        # FreeSurferColorLUT.txt
        ("freesurfer", 2, "cerebral white matter", "white_matter"),
        ("freesurfer", 41, "cerebral white matter", "white_matter"),
        ("freesurfer", 3, "cerebral cortex", "grey_matter"),
        ("freesurfer", 4, "lateral ventricle", "csf"),
        ("freesurfer", 43, "lateral ventricle", "csf"),
        ("freesurfer", 14, "third ventricle", "csf"),
        ("freesurfer", 15, "fourth ventricle", "csf"),
        ("freesurfer", 16, "brain stem", "white_matter"),
        ("freesurfer", 24, "csf", "csf"),
        ("freesurfer", 31, "choroid plexus", "enhancing"),
        ("freesurfer", 77, "white matter hypointensities", "lesion"),
        ("freesurfer", 251, "corpus callosum", "white_matter"),
        ("freesurfer", 1035, "cortical parcel", "grey_matter"),
        ("freesurfer", 2001, "cortical parcel", "grey_matter"),
        ("freesurfer", 12175, "cortical parcel, a2009s", "grey_matter"),
        ("freesurfer", 4035, "white matter under a parcel", "white_matter"),
        # TotalSegmentator v2, class_map["total"]
        ("totalsegmentator", 1, "spleen", "liver"),
        ("totalsegmentator", 2, "kidney_right", "kidney"),
        ("totalsegmentator", 5, "liver", "liver"),
        ("totalsegmentator", 9, "adrenal_gland_left", "liver"),
        ("totalsegmentator", 14, "lung_lower_lobe_right", "lung"),
        ("totalsegmentator", 20, "colon", "muscle"),
        ("totalsegmentator", 21, "urinary_bladder", "water"),
        ("totalsegmentator", 24, "kidney_cyst_right", "water"),
        ("totalsegmentator", 26, "vertebrae_S1", "cancellous_bone"),
        ("totalsegmentator", 27, "vertebrae_L5", "cancellous_bone"),
        ("totalsegmentator", 32, "vertebrae_T12", "cancellous_bone"),
        ("totalsegmentator", 50, "vertebrae_C1", "cancellous_bone"),
        ("totalsegmentator", 52, "aorta", "blood"),
        ("totalsegmentator", 63, "inferior_vena_cava", "blood"),
        ("totalsegmentator", 68, "iliac_vena_right", "blood"),
        ("totalsegmentator", 78, "hip_right", "cortical_bone"),
        ("totalsegmentator", 79, "spinal_cord", "white_matter"),
        ("totalsegmentator", 86, "autochthon_left", "muscle"),
        ("totalsegmentator", 91, "skull", "cortical_bone"),
        ("totalsegmentator", 92, "rib_left_1", "cortical_bone"),
        ("totalsegmentator", 115, "rib_right_12", "cortical_bone"),
        ("totalsegmentator", 117, "costal_cartilages", "muscle"),
    ],
)
def test_numbering_is_that_of_the_program(name, label, structure, of):
    row = label_table(name).rows[label]
    assert row.name == structure
    assert row[1:] == tissue(of).acoustic


def test_totalsegmentator_is_whole_and_leaves_hollow_organs_to_the_ct():
    table = label_table("totalsegmentator")
    assert sorted(table.rows) == list(range(118))
    hollow = {table.rows[label].name for label in table.from_image if label}
    assert hollow == {"stomach", "esophagus", "trachea", "small_bowel", "duodenum", "colon"}


def test_tissues_are_numbered_in_the_tables_order():
    rows = label_table("tissues").rows
    assert [rows[n].name for n in range(1, len(rows))] == list(TISSUES)


def test_the_abdominal_ct_agrees_with_its_labels(shared_data):
    """Version 2 numbering: bone is dense, lung is air, and right lies right, where the CT has them."""
    ct = Volume.load(shared_data / "ct" / "totalseg_example_ct_sm.nii.gz")
    labels = Volume.load(shared_data / "ct" / "totalseg_example_seg_for_ct_sm.nii.gz")
    assert ct.same_grid(labels)
    table = label_table("totalsegmentator")
    channels = table.look_up(labels.data)
    for label in labels.data.unique().int().tolist():
        inside = labels.data == label
        hounsfield, row = float(ct.data[inside].mean()), table.rows[label]
        if row.name.startswith(("vertebrae", "rib")):
            assert hounsfield > 140, row.name
            assert row.impedance_mrayl > 2
        elif row.name.startswith("lung"):
            assert hounsfield < -700
            assert row.impedance_mrayl < 0.5
        elif label not in table.from_image and row.name != "costal_cartilages":
            assert -30 < hounsfield < 80, row.name
            assert 1.4 < row.impedance_mrayl < 1.8
        assert (channels[inside] == torch.tensor(row[1:])).all()

    def right(name):
        label = next(n for n, row in table.rows.items() if row.name == name)
        index = (labels.data == label).nonzero().double().mean(dim=0)
        return float((labels.world_from_voxel[:3, :3] @ index + labels.world_from_voxel[:3, 3])[0])

    assert right("liver") > right("vertebrae_L1") > right("spleen")
    assert right("kidney_right") > right("kidney_left")
    assert right("inferior_vena_cava") > right("aorta")


# --- looking up ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64, torch.float32])
def test_each_voxel_takes_its_labels_values(dtype):
    labels = torch.tensor([0, 3, 7, 7], dtype=dtype).reshape(1, 2, 2)
    found = SMALL.look_up(labels)
    assert found.shape == (1, 2, 2, 3)
    expected = torch.tensor([SMALL.rows[n][1:] for n in (0, 3, 7, 7)]).reshape(1, 2, 2, 3)
    assert torch.equal(found, expected)


def test_slabs_do_not_show(monkeypatch):
    labels = torch.tensor([0, 3, 7])[torch.randint(0, 3, (17, 5, 3))]
    whole = SMALL.look_up(labels)
    monkeypatch.setattr("diffus.labels._SLAB_VOXELS", 31)
    assert torch.equal(SMALL.look_up(labels), whole)
    assert torch.equal(SMALL.look_up(labels.permute(2, 0, 1)), whole.permute(2, 0, 1, 3))


def test_fills_the_tensor_it_is_given_in_its_type():
    out = torch.zeros(1, 1, 2, 3, dtype=torch.float64)
    assert SMALL.look_up(torch.tensor([[[3, 7]]]), out) is out
    assert out[0, 0, :, 0].tolist() == [1.6, 1.7]
    with (
        as_users_run(),
        pytest.raises(ValueError, match=r"out: expected shape \(1, 1, 2, 3\), got \(1, 1, 1, 3\)"),
    ):
        SMALL.look_up(torch.tensor([[[3, 7]]]), out[:, :, :1])


def test_kept_labels_keep_what_was_there_and_need_no_row():
    out = torch.full((1, 1, 3, 3), 9.0)
    SMALL.look_up(torch.tensor([[[0, 3, 99]]]), out, keep={0, 99, 5000})
    assert out[0, 0, :, 0].tolist() == pytest.approx([9.0, 1.6, 9.0])


def test_missing_labels_are_listed_with_their_voxels_and_the_way_out():
    labels = torch.tensor([0, 1, 1, 1, 250, 3]).reshape(1, 2, 3)
    words = r"has no row for 2 label values.*: 1 \(3 voxels\), 250 \(1 voxels\)\..*totalsegmentator.*CSV"
    with pytest.raises(ValueError, match=words):
        SMALL.look_up(labels)


def test_of_many_missing_labels_some_are_shown():
    with pytest.raises(ValueError, match=r"50 label values.* and 30 more"):
        SMALL.look_up(torch.arange(100, 150).reshape(1, 5, 10))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (torch.tensor([0.0, 1.5]), "not whole numbers, such as 1.5.*nearest neighbour"),
        (torch.tensor([-1.0, 3.0]), "values from -1 to 3"),
        (torch.tensor([0, 2**21]), "image rather than a label map"),
        (torch.tensor([0.0, float("nan")]), "expected whole numbers"),
        (torch.tensor([0, 1j]), "complex"),
    ],
)
def test_what_is_no_label_map_is_refused(labels, words):
    with pytest.raises(ValueError, match=words):
        SMALL.look_up(labels.reshape(1, 1, 2))


# --- the user's files ---------------------------------------------------------------------------------------

CSV = """label, name, tissue, impedance_mrayl, attenuation_db_per_cm_mhz, backscatter
0,,water,,,
4,ventricle,csf,,,
5,tumour,brain,,,0.03
9,implant,,7.5,0.2,0.5

"""


def _check(table):
    assert sorted(table.rows) == [0, 4, 5, 9]
    assert table.rows[0] == LabelRow("water", *tissue("water").acoustic)
    assert table.rows[4] == LabelRow("ventricle", *tissue("csf").acoustic)
    assert table.rows[5] == LabelRow("tumour", *tissue("brain").acoustic[:2], 0.03)
    assert table.rows[9] == LabelRow("implant", 7.5, 0.2, 0.5)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_csv(tmp_path, encoding):
    path = tmp_path / "table.CSV"
    path.write_text(CSV, encoding=encoding)
    _check(label_table(path))


def test_json(tmp_path):
    path = tmp_path / "table.json"
    rows = [
        {"label": 0, "tissue": "water"},
        {"label": 4, "name": "ventricle", "tissue": "csf"},
        {"label": 5, "name": "tumour", "tissue": "brain", "backscatter": 0.03},
        {
            "label": 9,
            "name": "implant",
            "impedance_mrayl": 7.5,
            "attenuation_db_per_cm_mhz": 0.2,
            "backscatter": 0.5,
        },
    ]
    path.write_text(json.dumps(rows))
    _check(label_table(str(path)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column 'label', got nothing"),
        ("label,tissue\n", "the label table has no rows"),
        ("value,tissue\n1,csf\n", "unknown column 'value', expected some of label, name, tissue"),
        ("tissue\ncsf\n", "no column 'label', got tissue"),
        ("label;tissue\n1;csf\n", "unknown column 'label;tissue'"),
        ("label,tissue\n1,csf\n1,fat\n", "line 3: label 1 stands twice"),
        ("label,tissue\n1,bone\n", "line 2: unknown tissue 'bone'.*'cortical_bone'"),
        ("label,tissue\none,csf\n", "line 2: label must be a number, got 'one'"),
        ("label,tissue\n,csf\n", "line 2: label must be a number, got None"),
        ("label,tissue\n1.5,csf\n", "line 2: label must be a whole number"),
        ("label,tissue\n-1,csf\n", "line 2: label must be a whole number"),
        ("label,tissue\n1,csf,3\n", "line 2: more cells than columns"),
        (
            "label,impedance_mrayl\n1,1.5\n",
            "line 2: give a tissue, or attenuation_db_per_cm_mhz and backscatter",
        ),
        (
            "label,tissue,impedance_mrayl\n1,csf,high\n",
            "line 2: impedance_mrayl must be a number, got 'high'",
        ),
        ("label,tissue,impedance_mrayl\n1,csf,0\n", "line 2: impedance must be above 0"),
        ("label,tissue,backscatter\n1,csf,-0.1\n", "line 2: impedance must be above 0.*not below"),
        ("label,tissue,backscatter\n1,csf,nan\n", "line 2: backscatter must be a number"),
    ],
)
def test_bad_csv_is_refused_by_file_and_line(tmp_path, text, words):
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"mine\.csv.*{words}"):
        label_table(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"4": "csf"}, "a label table is a list of objects"),
        ([4], "a label table is a list of objects"),
        ([], "has no rows"),
        ([{"label": 4, "tissue": "csf"}, {"label": 4, "tissue": "csf"}], "row 2: label 4 stands twice"),
        ([{"label": True, "tissue": "csf"}], "row 1: label must be a number, got True"),
        ([{"label": 4, "impedance": 2}], "row 1: unknown column 'impedance'"),
        ([{"label": 4, "tissue": ["csf"]}], "row 1: unknown tissue"),
    ],
)
def test_bad_json_is_refused_by_file_and_row(tmp_path, content, words):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"mine\.json.*{words}"):
        label_table(path)


def test_unknown_names_and_missing_files(tmp_path):
    with pytest.raises(
        ValueError, match=r"give a \.csv or \.json file\) 'aseg': expected one of 'freesurfer'"
    ):
        label_table("aseg")
    for name in ("none.csv", "none.json"):
        with pytest.raises(FileNotFoundError, match=r"label table .*not found"):
            label_table(tmp_path / name)


def test_labels_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"labels must lie in \[0, 1048576\], got \[-1\]"):
        LabelTable("bad", {-1: LabelRow("a", 1.5, 0.0, 0.0)}, "")
    with pytest.raises(ValueError, match="has no rows"):
        LabelTable("bad", {}, "")
