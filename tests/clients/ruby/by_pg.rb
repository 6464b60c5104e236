# ruby-pg: exec_params by the unnamed statement, prepare by name, its own copy, cancel and notifications.
require 'pg'
require_relative 'below'
require_relative 'steps'

CONNS = ZONES.map { PG.connect(URL) }

def name(conn, row)
  found = conn.exec_params('SELECT name FROM item WHERE id = $1', [row])
  found.ntuples.zero? ? '-' : found.getvalue(0, 0)
end

def step_connect
  CONNS.each { |conn| check(conn.exec('SELECT 1').getvalue(0, 0) == '1') }
end

def step_settings
  CONNS.zip(ZONES) { |conn, zone| conn.exec("SET TimeZone TO '#{zone}'") }
  3.times do
    CONNS.zip(ZONES) do |conn, zone|
      check(conn.exec('SHOW TimeZone').getvalue(0, 0) == zone, zone)
      check(conn.parameter_status('TimeZone') == zone, "#{zone} reported")
    end
  end
end

def step_crud
  CONNS.each do |conn|
    ["it's \\ ü", LONG].each do |text|
      row = conn.exec_params('INSERT INTO item (name, n) VALUES ($1, $2) RETURNING id', [text, nil]).getvalue(0, 0)
      [0, 1].each do |format|
        read = conn.exec_params('SELECT name, n FROM item WHERE id = $1', [row], format)
        check(read.getvalue(0, 0).dup.force_encoding('UTF-8') == text && read.getisnull(0, 1), 'read')
      end
      check(conn.exec_params('UPDATE item SET name = $1 WHERE id = $2', ['new', row]).cmd_tuples == 1)
      check(name(conn, row) == 'new')
      check(conn.exec_params('DELETE FROM item WHERE id = $1', [row]).cmd_tuples == 1)
      check(name(conn, row) == '-')
    end
  end
  conn = CONNS[0]
  conn.send_query('SELECT i FROM generate_series(1, 1000) i')
  conn.set_single_row_mode
  sum = 0
  conn.get_result.stream_each_row { |row| sum += row[0].to_i }
  conn.get_last_result
  check(sum == 500_500, 'streamed')
  conn.enter_pipeline_mode
  20.times { |i| conn.send_query_params('INSERT INTO item (id, name) VALUES ($1, $2)', [500 + i, 'v']) }
  conn.send_query_params('SELECT count(*) FROM item WHERE name = $1', ['v'])
  conn.pipeline_sync
  20.times { conn.get_result.check && conn.get_result }
  check(conn.get_result.getvalue(0, 0) == '20', 'a pipeline sees its own writes')
  conn.get_result
  check(conn.get_result.result_status == PG::PGRES_PIPELINE_SYNC)
  conn.exit_pipeline_mode
end

def step_transactions
  one, two = CONNS
  one.transaction do
    one.exec("INSERT INTO item (id, name) VALUES (600, 'a')")
    check(name(two, 600) == '-', 'not yet')
    one.exec('SAVEPOINT s')
    one.exec("UPDATE item SET name = 'b' WHERE id = 600")
    one.exec('ROLLBACK TO s')
  end
  check(name(two, 600) == 'a', 'committed')
  begin
    one.transaction do
      one.exec('DELETE FROM item WHERE id = 600')
      raise KeyError
    end
  rescue KeyError
    check(name(two, 600) == 'a', 'rolled back')
  end
end

def step_prepared
  CONNS.each_with_index { |conn, i| conn.prepare('mine', "SELECT $1::int + #{i}") }
  8.times do |turn|
    CONNS.each_with_index { |conn, i| check(conn.exec_prepared('mine', [turn]).getvalue(0, 0).to_i == turn + i) }
  end
  check(CONNS[0].describe_prepared('mine').nparams == 1)
  CONNS[0].exec('DEALLOCATE mine')
  fails('26000') { CONNS[0].exec_prepared('mine', [1]) }
  fails('42P05') { CONNS[1].prepare('mine', 'SELECT 2') }
end

def step_errors
  CONNS.each do |conn|
    { '23505' => "INSERT INTO item (id, name) VALUES (1, 'twice')", '42P01' => 'SELECT * FROM nope', '22012' => 'SELECT 1/0' }.each do |state, sql|
      fails(state) { conn.exec(sql) }
      fails(state) { conn.exec_params(sql, []) }
    end
    conn.exec('BEGIN')
    fails('22012') { conn.exec('SELECT 1/0') }
    fails('25P02') { conn.exec('SELECT 1') }
    conn.exec('ROLLBACK')
    check(name(conn, 1) == 'item 1')
  end
end

def step_timeout
  CONNS[0].exec('SET statement_timeout = 100')
  fails('57014') { CONNS[0].exec('SELECT pg_sleep(30)') }
  check(CONNS[1].exec('SHOW statement_timeout').getvalue(0, 0) == '0')
  CONNS[0].exec('RESET statement_timeout')
end

def step_cancel = cancels(CONNS[0])

def step_copy = copies(CONNS[2])

def step_listen = listens(*CONNS.first(2))

steps(*%w[connect settings crud transactions prepared errors timeout cancel copy listen])
serve(->(conn, row) { name(CONNS[conn], row) },
      ->(conn, row, text) { CONNS[conn].exec_params('UPDATE item SET name = $1 WHERE id = $2', [text, row]) })
