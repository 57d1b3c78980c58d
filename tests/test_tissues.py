"""The tissue table, row by row against an independent copy of the project's facts."""

from __future__ import annotations

import pytest

from diffus.tissues import SULCUS_BACKSCATTER, TISSUES, acoustic_rows, tissue

# density kg/m3, speed m/s, impedance MRayl as printed, attenuation dB/cm/MHz
FACTS = {
    "grey_matter": (1045, 1500, 1.568, 0.67),
    "white_matter": (1041, 1552.5, 1.616, 1.21),
    "brain": (1046, 1546.3, 1.617, 0.59),
    "csf": (1007, 1504.5, 1.515, 0.009),
    "blood": (1050, 1578.2, 1.657, 0.199),
    "dura": (1174, 1500, 1.761, 1.164),
    "cortical_bone": (1908, 2813.7, 5.369, 4.74),
    "cancellous_bone": (1178, 2117.5, 2.494, 3.55),
    "skin": (1109, 1624, 1.801, 1.838),
    "fat": (911, 1440.2, 1.312, 0.357),
    "muscle": (1090, 1588.4, 1.731, 0.583),
    "liver": (1079, 1585.7, 1.711, 0.601),
    "kidney": (1066, 1554.3, 1.657, 0.240),
    "lung": (394, 949.3, 0.374, 20.1),
    "water": (994, 1482.3, 1.473, 0.0022),
}


@pytest.mark.parametrize("name", FACTS)
def test_row_is_as_in_the_literature(name):
    density, speed, impedance, attenuation = FACTS[name]
    row = tissue(name)
    assert (row.density_kg_m3, row.speed_m_s, row.attenuation_db_per_cm_mhz) == (density, speed, attenuation)
    assert row.impedance_mrayl == pytest.approx(impedance, abs=6e-4)


def test_air_reflects_all_and_is_as_printed():
    air = tissue("air")
    assert (air.density_kg_m3, air.speed_m_s) == (1.2, 343)
    assert air.impedance_mrayl == pytest.approx(0.0004, abs=2e-5)
    assert air.attenuation_db_per_cm_mhz >= 5


def test_every_row_has_sources_for_each_kind_of_value():
    for name, row in TISSUES.items():
        assert row.name == name
        for part in ("density and speed: ", "attenuation: ", "backscatter: "):
            assert part in row.source, name
    assert "Labuda" in tissue("grey_matter").source
    assert "ITRUSST" in tissue("brain").source


def test_backscatter_orders_tissues_as_they_look_in_surgery():
    def scatter(name):
        return tissue(name).backscatter

    assert scatter("csf") < 0.1 * scatter("grey_matter")
    assert scatter("grey_matter") < scatter("white_matter")
    assert scatter("white_matter") < scatter("lesion") < scatter("enhancing") < scatter("dura")
    assert scatter("dura") < scatter("cortical_bone")
    assert scatter("enhancing") < SULCUS_BACKSCATTER
    assert all(0 <= row.backscatter < 1 for row in TISSUES.values())


def test_rows_come_in_the_order_of_a_medium():
    assert acoustic_rows(["csf", "fat"]) == [tissue("csf").acoustic, tissue("fat").acoustic]
    impedance, attenuation, backscatter = tissue("fat").acoustic
    assert (impedance, attenuation, backscatter) == (
        pytest.approx(1.312, abs=1e-3),
        0.357,
        tissue("fat").backscatter,
    )


def test_unknown_tissue_lists_the_known():
    with pytest.raises(ValueError, match="unknown tissue 'gray_matter': expected one of 'grey_matter'"):
        tissue("gray_matter")
