# What the Ruby clients share: they run their steps, then serve reads and writes. See test_clients.py.
require 'timeout'

URL = ENV.fetch('DATABASE_URL')
ZONES = %w[UTC Europe/Berlin Asia/Tokyo America/Lima].freeze
LONG = 'ü' * 150_000
$stdout.sync = true

def check(holds, what = '')
  raise "not so: #{what}" unless holds
end

# The block must raise an error with this SQLSTATE.
def fails(state)
  yield
rescue StandardError => e
  cause = e.respond_to?(:result) ? e : e.cause
  raise if cause.nil? || !cause.respond_to?(:result) || cause.result.nil?
  found = cause.result.error_field(PG::PG_DIAG_SQLSTATE)
  check(found == state, "#{found} in place of #{state}")
else
  raise "no error #{state}"
end

def steps(*names)
  names.each do |name|
    send("step_#{name}")
    puts "ok #{name}"
  end
end

# get(conn, id) and put(conn, id, name), until standard input ends.
def serve(get, put)
  puts 'serve'
  $stdin.each_line do |line|
    word, conn, row, name = line.split
    if word == 'get'
      puts get.call(conn.to_i, row.to_i)
    else
      put.call(conn.to_i, row.to_i, name)
      puts 'done'
    end
  end
end
