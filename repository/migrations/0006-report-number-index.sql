-- For people who look for a report number. An expression, so that the sink, which knows the whole key, never takes it:
-- numbers of three hundred hospitals meet in it.
DROP INDEX report_no;
CREATE INDEX report_no ON report (left(report_no, 200));
