# Cancel, COPY and LISTEN by the pg gem: what ActiveRecord has no words for is done on its raw connection.
def cancels(conn)
  conn.send_query('SELECT pg_sleep(30)')
  check(conn.cancel.nil?) until conn.block(0.1)
  fails('57014') { conn.get_last_result }
  check(conn.exec('SELECT 1').ntuples == 1)
end

def copies(conn)
  conn.copy_data('COPY item (id, name) FROM STDIN') { (10_000...15_000).each { |i| conn.put_copy_data("#{i}\tcopied\n") } }
  rows = 0
  conn.copy_data('COPY (SELECT id FROM item WHERE id >= 10000) TO STDOUT') { rows += 1 while conn.get_copy_data }
  check(rows == 5000, rows)
  fails('22P02') { conn.copy_data('COPY item (id, name) FROM STDIN') { conn.put_copy_data("x\ty\n") } }
  conn.exec('DELETE FROM item WHERE id >= 10000')
end

def listens(hears, says)
  hears.exec('LISTEN channel')
  says.exec("NOTIFY channel, 'hello'")
  heard = nil
  hears.wait_for_notify(20) { |_channel, _pid, payload| heard = payload }
  check(heard == 'hello', heard)
  hears.exec('UNLISTEN *')
end
