-- What readers see: current standing, and no result that was withdrawn (W), deleted (D), could not be obtained (X) or was
-- left out by a later final message of a feed that states whole reports.

CREATE FUNCTION epoch_ms(timestamptz) RETURNS int8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN (extract(epoch FROM $1) * 1000)::int8;

CREATE VIEW current_report AS
SELECT r.*, h.code AS hospital, s.code AS source_system
FROM report r
JOIN hospital h ON h.id = r.hospital_id
JOIN source_system s ON s.id = r.source_system_id
WHERE r.standing = 'current' AND NOT (r.finality = 1 AND r.status_rank = 2);

CREATE VIEW current_result AS
SELECT
  o.report_id, o.panel_id, o.local_code_id, o.sub_id, o.occurrence, o.month,
  r.patient_id, r.hospital_id, h.code AS hospital, s.code AS source_system, r.report_no, r.scope, r.kind AS report_kind,
  p.key AS panel, r.panels -> p.key AS panel_facts,
  c.code, c.system, f.text, f.alt_code, f.alt_text, f.alt_system, f.value_type,
  o.value, o.value_raw, o.value_code, f.unit, f.range, o.abnormal_flags, o.status,
  i.item_id, o.unified_item_id, f.kind, o.number, o.number_high, o.comparator, f.ucum, f.range_low, f.range_high,
  f.range_text, o.qualitative, o.abnormal, o.flags, o.extra, o.recorded_at, o.message_time, o.finality, o.derivation
FROM report r
JOIN observation o ON o.report_id = r.id AND o.month = r.month
JOIN hospital h ON h.id = r.hospital_id
JOIN source_system s ON s.id = r.source_system_id
JOIN panel p ON p.id = o.panel_id
JOIN local_code c ON c.id = o.local_code_id
JOIN result_form f ON f.id = o.result_form_id
LEFT JOIN unified_item i ON i.id = o.unified_item_id
WHERE r.standing = 'current'
  AND NOT (r.finality = 1 AND r.status_rank = 2)
  AND NOT (o.finality = 1 AND o.status_rank = 2)
  AND (
    r.snapshot_recorded_at IS NULL
    OR (o.seen_recorded_at, o.seen_message_time) >= (r.snapshot_recorded_at, r.snapshot_message_time)
    OR (o.finality = 1 AND (o.recorded_at, o.message_time) > (r.snapshot_recorded_at, r.snapshot_message_time))
  );
